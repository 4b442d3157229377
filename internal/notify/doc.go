// Package notify is the outbox: messages are written with the act they tell of,
// and delivered after it.
//
// It promises that a message exists when, and only when, the act that caused it
// does; that subject, text and HTML are sealed in the database and erased once
// the message is settled or too old, so that no code or link stays readable;
// that "accepted" is said only when a server said so, and its reply kept; that a
// code that is no longer good is never sent; and that nobody is flooded
// (limits by account and template).
//
// A message is handed over once. A machine that stops between the server's yes
// and our writing it down hands it over again after the lease, with the same
// Message-ID, by which a mailbox knows the copy: SMTP has no better answer
// (RFC 5321 §4.5.4.1, and RFC 1047 on why).
//
// It refuses to know why a message is sent, and where its link leads: the caller
// makes the address from configuration, never from a request.
//
//	queued ──► accepted   the server's 2xx reply is kept
//	  │  ▲──► refused    5xx, or a body that can no longer be opened
//	  ▼  │──► expired    too old, or its code is
//	deferred               4xx or no answer: 1, 5, 15, then every 60 min
//
// Events: message.queued, message.tried (one a batch), message.accepted,
// message.deferred, message.refused, message.expired, message.purged.
package notify
