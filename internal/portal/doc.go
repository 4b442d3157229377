// Package portal is the agent's pages: the door, the first activation, the
// launcher, why something does not open, and what is known of one's own account.
//
// It promises that every page can be used without a script, in both languages
// and themes; that it says where the visitor stands; that a page shown before a
// proof depends on nothing but what was typed (product rule 5); that opening a
// page changes nothing; that a redirect leads only to a configured address or to
// a path of this very host; and that a refusal is told in the words and with
// the ways of the engine that refused.
//
// Whatever leads here on the way to an application uses three doors: SignInTo,
// ProveTo, and Show for a page of its own. They know the application only to say
// its name and to let a form end at its addresses.
//
// It refuses to decide (package access), to check a proof (package signin), and
// to know how an application is reached (package gateway): the two meet through
// sealed return tickets.
//
// The site map is routes.go. The life of a request:
//
//	edge → entrance known? address of this entrance? → visit (language, session,
//	facts) → handler: one act, then a page or a redirect → errors to the edge
package portal
