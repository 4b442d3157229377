// Package demo is a fictional city: people to be, applications to open, and a
// letter box to read.
//
// It promises that everything a newcomer touches is real: the HR file goes
// through the same import, the messages travel over SMTP, the applications are
// servers that check the assertion they receive and do what they say: pay slips
// are files, a request for leave has its states by the city's clock, the
// directory searches. What agents do in them is forgotten with the process. Only
// the city is invented, and it listens on this machine alone.
//
// It refuses to be a second way in: it writes through the same acts as
// everybody, and nothing of it runs in a real installation.
package demo
