// Package oidc is the OpenID provider: applications that speak OpenID Connect or
// OAuth 2.0 sign agents in here.
//
// It promises that an application is answered what every other door would
// answer (apps.Door), at the authorization and again at each redemption,
// refresh, introspection and question about the agent; that nothing is stored
// before a code is redeemed, and then in one write; that a code, a refresh token,
// a pushed request, a proof and an assertion serve once; that a level is never
// over-declared; and that what fails is told to the application as its RFC says,
// to its owner in words ([apps.Register.Note]), and to a person on a page.
//
// It refuses to know what a proof is, how somebody signs in, and why an
// application opens. The rules of the protocol itself are those of go-oidc; what
// that library leaves to its user is here (one use of everything, prompts, ages,
// levels, who may redirect where). No other package but moncompte imports it.
//
// One issuer for each portal; what one gave is unknown at the other, except to a
// resource server that introspects.
//
//	GET  /.well-known/openid-configuration, /.well-known/jwks.json
//	GET  /authorize          POST goes on as GET; run again from its own address
//	                         after sign-in, step-up or consent
//	POST /par /token /introspect /revoke /device_authorization
//	GET, POST /userinfo
//	GET, POST /device        where an agent types the code of a device
//	GET, POST /oidc/logout   end_session_endpoint
//	POST /consent            for applications outside the organisation
//
// Life of a grant: code (sealed, 60 s) → redeemed (one row) → refreshed, each time
// under another secret → ended by the session, the application, a reuse, or 90
// days when it may outlive the session.
package oidc
