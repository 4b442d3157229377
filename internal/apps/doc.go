// Package apps keeps the applications and asks, for whoever enters one by a
// protocol, what the gateway asks for its visitors.
//
// It promises that every door gives the same answer for the same reasons: a
// [Door] puts the question to access, records a refusal under a reference, and
// asks again whenever a token, a ticket or an assertion is used, so that a
// closed entrance, a suspended agent or an ended office hour stops those too.
// It says what an application is told of an agent, and by which name.
//
// The [Register] holds the applications of the configuration and those made on
// pages or imported as files. What does not load changes nothing; who comes
// second is told so; every change is recorded with who made it, and other
// processes follow it within a second.
//
// [Notices] tells applications that a session ended, and keeps what they
// answered. [Outbound] is the only client with which an address that somebody
// declared may be reached.
//
// It refuses to know any protocol: what a token, a ticket or an assertion looks
// like is the business of oidc and federation. It serves nothing over HTTP.
//
//	Register: Load → Run … Put, Remove, AddSecret, DropSecret
//	Door:     Ask → (oidc, federation give a grant) → Still, again and again
//	Notices:  EndGrant queues → Run delivers, five times more → receipt
package apps
