// Package signin is the door: one door, one loop. A flow begins with an
// identifier, each answer is given to [Hub.Advance], and the pure [Next] names
// the step that follows. No step knows another step.
//
// It promises that an attempt counts as failed until it is proven right; that
// somebody who has proven nothing learns nothing that depends on an account
// (same bytes, same waits, same work for an identifier that nobody has); that
// the state of an account is looked at after the password; that two tabs do not
// disturb each other; and that what was proven before a required change is kept
// at the server, bound to the browser, and serves once.
//
// It refuses to know HTTP, OIDC, applications and how a proof is checked.
//
// # How the portal uses it
//
//	GET  /signin             out := hub.Advance(In{Return: …})        page by out.Step
//	POST /signin             In{Posted: true, Flow, Cookie, fields…}  page by out.Step
//
//	StepIdentifier, StepSecret, StepNewPassword: the form of that step (fields
//	  identifier, password, new_password), out.Flow in the hidden field "flow",
//	  out.Identifier in the strip, out.Reasons with out.Args as sentences above.
//	  out.Cookie, when not empty, goes into the door's own HttpOnly,
//	  SameSite=Lax cookie and comes back as In.Cookie. out.Retry, when not zero,
//	  is for Retry-After: 503 with service_unavailable, 429 with rate_limited.
//	  After a new password that may not be used: why one is asked for, then each
//	  rule, whose {n} is out.Quality.Least.
//	StepWait: screen locked_wait; out.Reasons[0].At is when the wait ends.
//	StepBlocked: screen blocked, with out.Reasons and out.Reference.
//	StepDone: Keeper.Give(w, out.Token), the device cookie from out.Device when
//	  it is not empty, and 303 to where out.Return leads.
//
//	POST /security/password  Renew: somebody who is in chooses another password.
//	  StepDone gives the Token that takes the place of the session's.
//
// "Change" beside the identifier is a plain link to GET /signin. Return is
// opaque here: the portal's return ticket, carried sealed in out.Flow. Times are
// in the organisation's zone. Nothing else about a refusal without a session may
// be shown under its reference, except to staff.
package signin
