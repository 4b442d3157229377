// Package parvis holds the nouns of the product: who works here, what they
// open, through which entrance, with which proofs, and what was answered.
//
// It promises values that mean the same everywhere: the page, the audit
// trail, the metric label, the desk and the tests all say [Reason], [Channel]
// and [Decision], and nothing else.
//
// It refuses to know how anything is stored, sent, drawn or decided. Nothing
// here needs more than its arguments: no clock, no file, no network.
package parvis
