// Package signin is the door: one door, one loop. A flow begins with an
// identifier, each answer is given to [Hub.Advance], and the pure, total [Next]
// names the step that follows. No step knows another step. The same Hub holds
// every act of people on what they prove themselves with.
//
// It promises that an attempt counts as failed until it is proven right; that
// somebody who has proven nothing learns nothing that depends on an account;
// that each situation ends in done, wait until, or a named person; that a
// stolen password adds no proof from outside, nor beside one that is held; that
// an old proof goes only after the new one worked, and the last that is needed
// not at all; that a verifier that does not answer is replaced only as policy
// allows and the agent chooses; that every change is one transaction with its
// event and its message; that what was proven is bound to the browser and the
// entrance, and serves once.
//
// It refuses to know HTTP, pages, and how a proof is checked.
//
// # How the portal uses it
//
//	GET  /signin      Advance(In{Return: …})                    page by out.Step
//	POST /signin      Advance(In{Posted: true, Flow, Cookie…})  page by out.Step
//	POST /verifier/leave, GET /verifier/return
//	                  LeaveForVerifier: 303 to out.Leave, cookie out.Away; ReturnFromVerifier
//	/prove            Prove, for somebody who is in; also to try one method, by its ID
//	/security/…       Offer…, Add…, RemoveProof, UnlinkVerifier…; Renew for the password
//
// The form of a step has out.Flow in the hidden field "flow", and out.Reasons
// with out.Args as sentences above. out.Cookie, when not empty, goes into the
// door's own HttpOnly, SameSite=Lax cookie. out.Retry is for Retry-After.
// StepSecondFactor lists Methods and asks for Method; a passkey is asked with
// PasskeyOptions, also at StepIdentifier. StepVerifier is the page before
// leaving; Waivable offers Method "verifier_waived". StepWait and StepBlocked end:
// a time, a reference, Person. StepDone: Keeper.Give(w, out.Token), the device
// cookie from out.Device when it is not empty, and 303 to where out.Return leads.
// A Token in any other answer takes the place of the session's.
package signin
