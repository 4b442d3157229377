// Package recovery is the desk for people who cannot come in yet, or no longer:
// one entry, the right circuit. Today it holds the first activation.
//
// It promises the same answer, in the same time, whether or not a number and an
// address match; codes and links kept only as keyed hashes, that serve until
// the password is stored and never after; a task list that loses nothing when
// the browser closes; and that a redemption never signs anybody in.
//
// The tasks may be done in any order (ASVS 2.3.1: none rests on another). The
// code is what proves who comes; reading what HR wrote proves nothing, and may
// be left out. The password ends the list: the overview says so before, the last
// page says what was left out, and activation.completed records it for HR.
//
// It refuses to know HTTP and the rules of passwords (package credential).
//
// # How the portal uses it
//
//	GET  /activate             form: a code, or agent_number and email
//	POST /activate (pair)      Start: screen with answer.Reasons (always P0)
//	GET  /activate?link=TOKEN  changes nothing: a page with one button that posts the token
//	POST /activate (code|link) Redeem: when Cookie is not empty, put it in an
//	                           HttpOnly, SameSite=Lax cookie and 303 to the overview;
//	                           otherwise Reasons say why not
//	GET  /activate/overview    Overview: task list, progress Done of Of
//	POST /activate/identity    ConfirmIdentity, or ReportWrongIdentity
//	POST /activate/password    SetPassword: Reasons (password_rule_*, {n} is
//	                           Quality.Least) or Done, then drop the cookie and
//	                           show activation_done, which leads to /signin
//
// Every act on a flow answers an error with code not_found when the cookie is
// unknown, used or too old: show form_expired and go back to /activate; the same
// code opens the list again until the password is stored.
package recovery
