// Package verifier is the outside account: an agent leaves for an OpenID
// provider, comes back, and that account vouches for them. It is a client of
// any provider: discovery, code with PKCE, ID token, UserInfo.
//
// It promises that an answer counts only for the browser that left, once,
// within ten minutes, through the same entrance, from the provider that was
// asked, signed, fresh, and of the level that was asked; that everything else
// is refused with one of the verifier_* reasons, whose true cause is in the
// event; that of an outside account only issuer, subject, level and dates are
// kept; and that nobody waits for a provider longer than a few seconds.
//
// It refuses to know sessions, pages, who must have a verifier, and whether
// something else may stand in for one.
//
// # How the door uses it
//
//	Leave           303 to the address; the cookie, HttpOnly and SameSite=Lax,
//	                comes back as Departure.Browser and Arrival.Cookie
//	GET /verifier/return
//	  Return        Answer.Reason empty: Tie, or Confirm, in the Write that acts
//
// Whoever calls Tie or Confirm has compared Answer.Departure with who stands
// there: the same session, or the same flow, as when they left.
//
// What a browser brings proves nothing about the provider: "server_error" can
// be typed by anybody. That a provider does not answer, hence that a fallback
// may be thought of, is told by [Link.Down] and by the error of [Link.Leave],
// which speak of our own tries alone.
//
// Keys of ours (decryption of UserInfo, private_key_jwt) are derived from the
// installation's master key: the same on every replica, and in no other file.
package verifier
