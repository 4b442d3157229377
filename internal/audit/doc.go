// Package audit makes the trail of events one that can be proved whole.
//
// It promises one canonical form of an event, a Merkle tree over those forms
// that is the tree of RFC 6962 (so any client of a transparency log can check
// it), heads of that tree signed in the C2SP checkpoint form, and a
// verification that names the first bad record and what was done to it:
// changed, removed, reordered or truncated.
//
// It refuses to know where records, hashes and heads are kept: it is given
// them. It reads no clock and holds no key that it was not handed.
//
// Life of a record: [Canonical] gives its bytes, [Log.Append] its hashes,
// [Notary.Sign] the head that covers it; [Verify] reads everything back.
//
// What a whole trail proves depends on what is kept elsewhere. The tree alone
// finds a careless hand; the signed head finds one who recomputes the tree but
// holds no key; copies of heads outside the database find one who puts an old
// database back.
package audit
