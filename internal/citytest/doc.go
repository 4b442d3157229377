// Package citytest is a whole city in a test: the program itself, built and
// started as a newcomer would, with visitors who click and enemies who lie.
//
// It promises that what its scenarios show was done by the real program over
// real sockets: the binary is built with the race detector, runs on free
// loopback ports, and is ended by its process identifier.
//
// It refuses to import anything of the house but the nouns: a scenario that
// needs a back door proves nothing.
package citytest
