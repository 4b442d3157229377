//go:build race

package directory_test

// raced tells whether the race detector watches.
const raced = true
