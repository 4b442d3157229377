// Package access decides. Policies and the facts of one request go in; a
// [parvis.Decision] comes out: open or not, every reason, until when the answer
// holds, and the smallest changes that would open what is refused.
//
// It promises one function for everybody (product rule 2): launcher, gateway,
// why page, desks and commands call [Policy.Decide] or [Policy.Explain] and get
// the same reasons. A way is found by asking that same function again with the
// change made, so it is sound; no proper part of it is enough, so it is
// minimal. What is unknown is refused: an unknown application, channel, profile,
// device or date never opens anything, and a forbid that cannot be evaluated
// counts as one that fired.
//
// It refuses to know a clock, a store, a network or a sentence: the moment is
// an argument, the facts are arguments, and reasons are codes.
//
// The rules are Cedar policies: those of policies/*.cedar, shipped with the
// program, and the organisation's own. Permits say who may use an application,
// forbids say why not now; every forbid names its reason in an annotation
// (@reason) from the closed list, and every policy its name (@id). An organisation may
// add permits and forbids; it cannot take away a shipped forbid.
//
// What a second proof must be is settled in one place, [Policy.Demand]: the
// strictest of profile, entrance and application, at that moment. [Impact] puts
// everybody to a draft, by the same decisions.
//
// Life cycle: [New] checks everything and reports all faults together, with
// file and line; the [Policy] it gives may be shared. New facts or rules mean a
// new Policy, which takes the place of the old one with [Policy.Replace].
//
// Order of reasons, most telling first: state of the account, activation,
// second account, password, channel and what is reduced there, entitlement, hours, device, proof; any
// other code after these, in the order of the closed list.
package access
