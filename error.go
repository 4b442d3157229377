package parvis

import (
	"errors"
	"fmt"
)

// Code says what kind of failure an [Error] is. The list is closed: one code
// gives one exit, one HTTP status and one sentence.
type Code string

// The closed list of codes. An error that carries none of them is internal.
const (
	CodeInvalid     Code = "invalid"     // the input cannot be accepted as it stands
	CodeNotFound    Code = "not_found"   // there is no such thing, or it may not be seen
	CodeConflict    Code = "conflict"    // it was already done, or somebody else did it first
	CodeRefused     Code = "refused"     // the rules say no
	CodeLimited     Code = "limited"     // too many tries; wait
	CodeUnavailable Code = "unavailable" // something this depends on does not answer
	CodeInternal    Code = "internal"    // a fault of ours
)

// Error is the only exported error of the house. Code is for programs, Op
// names the act that failed ("session.Begin"), Err is the cause. Sentences for
// people live in package text, never here.
type Error struct {
	Code Code
	Op   string
	Err  error
}

// Error gives the text for the log; no visitor ever reads it.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Op, e.Code)
	}
	return fmt.Sprintf("%s: %s: %v", e.Op, e.Code, e.Err)
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf tells the code of err: [CodeInternal] for any error without one and
// the empty code for nil. Default is failure.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return CodeInternal
}
