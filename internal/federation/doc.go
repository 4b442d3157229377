// Package federation signs agents in to applications that speak CAS 3.0 or
// SAML 2.0, which much public software does.
//
// It promises that what opens is what [apps.Door] says opens, with the same
// reasons as everywhere; that an answer goes only to an address that IT declared
// (a CAS service, an assertion consumer service of the metadata); that a ticket
// and a request serve once; that an assertion never says more than the proofs of
// the session (see [parvis.Levels]); that of a signed message only the signed part
// is read; and that whoever was told of an agent is told when their session ends,
// if they said where.
//
// It refuses to decide, to know what a proof is, and to keep anything while
// somebody signs in: the request is run again afterwards, from its own address or
// from a sealed copy of it. A CAS ticket is sealed as well, and kept nowhere until
// it is shown.
//
//	GET       /cas/login            service, renew, gateway, method
//	GET       /cas/validate         CAS 1: yes or no
//	GET       /cas/serviceValidate  CAS 2; /cas/p3/… and /cas/proxyValidate: with attributes, JSON too
//	GET POST  /cas/logout           asks first: a link of another site signs nobody out
//	GET       /saml/metadata        one identity provider per entrance
//	GET POST  /saml/sso             a posted request goes on as GET, sealed
//	GET POST  /saml/slo             single logout; signed requests only
//	POST      /federation/consent   for applications outside the organisation
//
// A request of SAML: read → of whom? → signed as its metadata say? → for us, now? →
// where may it be answered? → session, fresh if asked → decision → proofs asked for
// → spent, grant written, answered.
package federation
