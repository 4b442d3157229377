// Package recovery is the desk for people who cannot come in yet, or no longer:
// one entry, the right circuit. Today it holds the first activation.
//
// It promises the same answer, in the same time, whether or not a number and an
// address match; codes and links kept only as keyed hashes; a task list that
// loses nothing when the browser closes, and lives until what is demanded is done
// or the newcomer says that it is enough; that from the moment an account has a
// secret the code alone opens nothing, whoever reads the letter; and that a
// redemption never signs anybody in.
//
// The tasks may be done in any order (ASVS 2.3.1: none rests on another). The
// code is what proves who comes; reading what HR wrote proves nothing, and may
// be left out. What was left out is recorded with activation.completed, and
// whoever signs in with demanded tasks unfinished finds the same list.
//
// It refuses to know HTTP, the rules of passwords (package credential), those of
// access (the desk is told what is asked) and how a proof is added (signin.Hub,
// with the flow that [Desk.Flow] gives).
//
// # How the portal uses it
//
//	GET  /activate             form: a code, or agent_number and email
//	POST /activate (pair)      Start: screen with answer.Reasons (always P0)
//	GET  /activate?link=TOKEN  changes nothing: a page with one button that posts the token
//	POST /activate (code|link) Redeem: when Cookie is not empty, put it in an
//	                           HttpOnly, SameSite=Lax cookie and 303 to the overview;
//	                           SignIn: the door first, then the code again; otherwise Reasons
//	GET  /activate/overview    Overview: task list, progress Done of Of
//	POST /activate/identity    ConfirmIdentity, or ReportWrongIdentity
//	POST /activate/password    SetPassword: Reasons (password_rule_*, {n} is
//	                           Quality.Least) or Done, with another Cookie to put
//	POST /activate/finish      Finish, then drop the cookie
//	GET  /arrival, home        Tasks, Remaining: for whoever is in
//
// Settle follows each act on a proof or a link. Every act on a flow answers an
// error with code not_found when the cookie is unknown, used or too old: show
// form_expired and go back to /activate; the same code opens the list again.
package recovery
