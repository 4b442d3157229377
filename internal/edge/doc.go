// Package edge is how a connection arrives.
//
// It promises that by the time a handler runs, the entrance is known and was
// not claimed by the client: the listener says it, or the network an internal
// workstation stands in; headers count only when a declared proxy wrote them,
// read from right to left (product rule 3). It promises one name for each
// request, the same protective headers on every answer of ours, and one place
// where an error becomes a response.
//
// It refuses to know agents, sessions and applications. It knows sentences by
// their code, and draws no page: a page for a failure is asked of Page.
//
// Life of a request:
//
//	listener → Host known? (421) → origin → request name → protective headers
//	→ cross-origin writes refused (RFC 9110 §9.2.1 methods and Programs excepted)
//	→ portal or gateway → error writer
package edge
