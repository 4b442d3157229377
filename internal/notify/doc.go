// Package notify is the outbox: messages are written with the act they tell of,
// and delivered after it, as mails or as text messages.
//
// It promises that a message exists when, and only when, the act that caused it
// does; that what it says, and an address that HR does not vouch for, are sealed
// in the database and erased once the message is settled or too old, so that no
// code or link stays readable; that "accepted" is said only when a server said
// so, and its reply kept; that a code that is no longer good is never sent; and
// that nobody is flooded (limits by account or address, and template).
//
// Mails go to one server. Text messages go to the first provider that takes
// them, over SMPP or HTTP; one that fails rests a minute. Neither waits for the
// other.
//
// A message is handed over once. A machine that stops between the server's yes
// and our writing it down hands it over again after the lease, with the same
// Message-ID, by which a mailbox knows the copy: SMTP has no better answer
// (RFC 5321 §4.5.4.1, and RFC 1047 on why). A provider that says nothing may
// have sent the text that the next one sends again: it is the same code.
//
// It refuses to know why a message is sent, and where its link leads: the caller
// makes the address from configuration, never from a request.
//
//	queued ──► accepted   the server's yes is kept
//	  │  ▲──► refused    it never will be, or its body can no longer be opened
//	  ▼  │──► expired    too old, or its code is
//	deferred               later or no answer: 1, 5, 15, then every 60 min;
//	                       a text message 5, 15, 30 s, then every minute
//
// Events: message.queued, message.tried (one a batch), message.accepted,
// message.deferred, message.refused, message.expired, message.purged, and
// message.noted when a provider tells later what became of it.
package notify
