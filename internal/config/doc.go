// Package config is the file that an operator writes.
//
// It promises that a file is read completely or not at all: every unknown
// field, wrong value and contradiction is reported together, each with its
// line; every field has a comment, which `parvis config describe` prints and
// `parvis config init` writes; every field works when it is absent. Secrets
// are never in the file: the file says where they are.
//
// It refuses to know what the settings are for. Only the command imports it.
package config
