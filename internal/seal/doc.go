// Package seal keeps secrets: at rest, in tickets that travel through a
// browser, and in the program's own output.
//
// It promises boxes that only their purpose can open, bound to the place they
// were made for; tickets that nobody can read, alter or use after their time;
// keys that never leave their owner's directory; rings of signing keys that follow
// one another without a gap; and a [Secret] that prints as
// "[sealed]" whatever is done to print it (product rule 14).
//
// It refuses to know what is sealed, who asks, where it is kept, and what time
// it is: the moment is always an argument. That a ticket is used once is the
// business of whoever redeems it.
//
// Life cycle: [OpenKeys] once, at the start; then [Keys.Box], [Keys.MAC] by
// purpose. A purpose is a word that never changes once it has been used. There
// is no way to list or export keys; a backup copies the directory.
package seal
