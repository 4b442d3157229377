// Package office is the staff's pages. Its first desk is that of the IT
// department: the applications that Parvis lets agents into.
//
// It promises that nobody but the IT department reads or changes anything here,
// whatever the address; that whoever changes something has shown a second proof
// within the last fifteen minutes, and loses nothing of what was typed by being
// asked for it; that every change is recorded with its author; that sending a
// form twice acts once; that a secret is shown once, in the answer to the one
// who made it, and never again; and that what is said here of a decision is
// what the one function that decides said.
//
// It refuses to know what makes an application sound (package parvis), how it
// is kept (package apps) and what the files look like: it reads and writes the
// same fields under the same names. It does not draw the frame of a page: the
// portal does.
//
//	/admin                                 leads to the applications
//	/admin/applications                    the list; ?add=KIND the form of a new one
//	/admin/applications/ID                 one application
//	/admin/applications/ID/paste           what to enter in it
//	/admin/applications/ID/edit            its settings
//	/admin/applications/ID/secrets         its secrets
//	/admin/applications/ID/try             what an agent would be answered
//	/admin/applications/ID/file            the same as a file
//	/admin/applications/ID/remove          the end of it
//
// The life of a request:
//
//	edge → entrance known? its own address? → session → account in order? → role
//	→ for a change: second proof of this quarter of an hour → one act → a page
package office
