// Package gateway opens applications: it finds the one a host names, decides,
// and passes the request on or explains.
//
// It promises that a request reaches an application only with a decision that is
// open now, taken by the one function; that the application reads who is there
// from us alone, signed; that nothing a client wrote passes for ours, for only
// listed request headers pass (Authorization does: it is between a client and
// its application); that nothing opens from memory while memory cannot be kept
// true; that an open stream ends within about a second of the decision; that a
// refusal leads to its explanation and never in circles; and that an application
// which is down is told as such, under a reference. A request that goes through
// writes nothing and reads memory only.
//
// It refuses to know what a proof is, how somebody signs in, how a rule is
// written and what an application does. It adds nothing to an application's
// pages but Parvis-Until, the moment the answer ends, when that is near.
//
// A request on an application's host:
//
//	host → application, entrance ── another entrance → that entrance's portal
//	another site makes the browser write, or open a WebSocket → 403
//	cookie → visit ── none → portal /signin?return=… (a program: 401)
//	held decision, or facts and access.Decide ── refused → Counter → portal
//	    /why/REFERENCE (a program: 403, the same reasons)
//	clean, Parvis-Assertion → application ── no answer → app_down, 503
//
// Paths under /.parvis/ are ours: enter?ticket=… begins the visit.
//
// Life cycle: a struct literal, [Gateway.Run] beside the listeners. Run looks
// every second at the requests that last, and at the applications that are down.
package gateway
