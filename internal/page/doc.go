// Package page draws the pages: the pieces of the look, each once. It promises
// that whatever text it is handed comes out escaped, that a page needs no
// script, that no page carries inline style or script, and that every field,
// error and status can be read without seeing colour.
//
// It refuses to know agents, policies or languages: it receives sentences
// already said. It never writes a status or a cookie.
//
// Every piece is a struct that is itself a templ.Component. A page is a
// literal, rendered once; words that pieces need everywhere (« obligatoire »,
// « Copier ») travel from Chrome.Words by the rendering context, so a piece
// rendered outside a Page has none.
//
//	Page      Chrome, Theme, Channel, Session, Help, Words, Fault   the whole document
//	layout    Stack, Columns, Section, Para, List, Link, Links, Actions, Square
//	status    State, Mark, Notice, Progress, Tasks, Task, Checklist, Check
//	launcher  Launcher, Tiles, Tile, Matrix, Place
//	refusal   Refusal, Step, Ticket, People, Person
//	accounts  Pair, Account, Rows, Row, Record, Fact, Masked, Timeline, Event
//	desk      Table, Column, Cell, Empty, Confirm
//	forms     Form, Field, Choices, Option, Strength, Identity, Button, Hidden
//	proofs    Passkey, Drawing, Copyable, Codes
//	leaving   AutoPost, Frames
//	files     NewAssets(Brand), to serve at /assets/, /sw.js and /manifest.webmanifest
//
// Icons are named as in Tabler; those at hand are in assets/icons.
//
// The policy the pages are made for: default-src 'none'; style-src, script-src,
// font-src, connect-src, manifest-src, worker-src and form-action 'self';
// img-src 'self' data:; frame-ancestors, base-uri and object-src 'none'. The
// caller serves /offline?lang=fr|en as a page without personal data: the
// service worker keeps it, without cookies, and no other page.
package page
