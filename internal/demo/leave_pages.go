package demo

import (
	"crypto/rand"
	"net/http"
	"slices"
	"time"
)

// leave serves requests for leave: balances and a form, then each request with
// its states until it is refused, begun or taken back.
func (c *counter) leave(mux *http.ServeMux) {
	book := &leaveBook{all: map[string][]*leaveRequest{}}
	mux.HandleFunc("GET /{$}", c.to(func(v *visit) {
		v.leaveHome(http.StatusOK, book, leaveForm{Kind: leaveKinds()[0].id, form: rand.Text()}, nil)
	}))
	mux.HandleFunc("POST /requests", c.to(func(v *visit) {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, 16<<10)
		f := leaveForm{
			Kind: v.r.PostFormValue("kind"), From: v.r.PostFormValue("from"), Until: v.r.PostFormValue("until"),
			FromNoon: v.r.PostFormValue("from_noon") != "", UntilNoon: v.r.PostFormValue("until_noon") != "", form: v.r.PostFormValue("form"),
		}
		q, faults := f.read(v.now)
		if len(faults) == 0 {
			id, not := book.ask(v.Subject, q, v.now)
			if not == nil {
				http.Redirect(v.w, v.r, "/requests/"+id, http.StatusSeeOther)
				return
			}
			faults = append(faults, *not)
		}
		if f.form == "" {
			f.form = rand.Text()
		}
		v.leaveHome(http.StatusUnprocessableEntity, book, f, v.faults(faults, q))
	}))
	mux.HandleFunc("GET /requests/{id}", c.to(func(v *visit) {
		all := book.of(v.Subject, v.now)
		i := slices.IndexFunc(all, func(q leaveRequest) bool { return q.id == v.r.PathValue("id") })
		if i < 0 {
			v.missing()
			return
		}
		v.leavePage(all[i])
	}))
	mux.HandleFunc("POST /requests/{id}/cancel", c.to(func(v *visit) {
		if !book.cancel(v.Subject, v.r.PathValue("id"), v.now) {
			v.missing()
			return
		}
		http.Redirect(v.w, v.r, "/requests/"+v.r.PathValue("id"), http.StatusSeeOther)
	}))
}

// said is a fault in words.
type said struct{ Field, Says string }

func (v *visit) faults(all []fault, q leaveRequest) []said {
	var out []said
	for _, f := range all {
		out = append(out, said{f.field, v.T("demo.leave.fault."+f.key, "asked", v.days(q.halves), "left", v.days(max(f.left, 0)))})
	}
	return out
}

// leaveView is the first page: what is left, the form, the requests.
type leaveView struct {
	Form     string
	Typed    leaveForm
	Faults   []said
	Balances []balance
	Requests []leaveItem
}

type balance struct{ Kind, Label, Left string }

type leaveItem struct{ ID, Span, Kind, Length, State string }

// Fault is what is wrong with a field, or nothing.
func (w leaveView) Fault(field string) string {
	for _, f := range w.Faults {
		if f.Field == field {
			return f.Says
		}
	}
	return ""
}

func (v *visit) leaveHome(status int, book *leaveBook, typed leaveForm, faults []said) {
	data := leaveView{Form: typed.form, Typed: typed, Faults: faults}
	all := book.of(v.Subject, v.now)
	mine := make([]*leaveRequest, len(all))
	for i := range all {
		mine[i] = &all[i]
	}
	for _, k := range leaveKinds() {
		data.Balances = append(data.Balances, balance{k.id, v.T("demo.leave.kind." + k.id), v.days(left(mine, k.id, v.now.Year()))})
	}
	for _, q := range slices.Backward(mine) {
		data.Requests = append(data.Requests, leaveItem{q.id, v.span(q), v.T("demo.leave.kind." + q.kind), v.days(q.halves), v.T("demo.leave.state." + q.state())})
	}
	v.showAs(status, "leave", v.app.App.Purpose.In(string(v.Lang)), data)
}

func (v *visit) span(q *leaveRequest) string {
	key := "demo.leave.span"
	if q.from.Equal(q.until) {
		key = "demo.leave.one_day"
	}
	return v.T(key, "from_date", q.from, "until_date", q.until)
}

// leavePage is one request and what happened to it.
func (v *visit) leavePage(q leaveRequest) {
	data := struct {
		leaveItem
		History   []string
		CanCancel bool
	}{leaveItem{q.id, v.span(&q), v.T("demo.leave.kind." + q.kind), v.days(q.halves), v.T("demo.leave.state." + q.state())}, nil, q.canCancel(v.now)}
	tell := func(what string, at time.Time) {
		if !at.IsZero() {
			data.History = append(data.History, v.T("demo.leave.event."+what, "at_date_time", at.In(v.zone)))
		}
	}
	tell(isAsked, q.asked)
	outcome := isApproved
	if q.refused {
		outcome = isRefused
	}
	tell(outcome, q.decided)
	tell(isCancelled, q.cancelled)
	v.show("request", data.Span, data)
}
