package oidc

import (
	"testing"
)

// BenchmarkCodeFlow signs one agent in to an application: the authorization, and
// the redemption.
func BenchmarkCodeFlow(b *testing.B) {
	tn := open(b)
	tn.signIn(agentOne)
	q := asks("rp")
	tn.redeem("rp", tn.code(q))
	b.ReportAllocs()
	for b.Loop() {
		tn.redeem("rp", tn.code(q))
	}
}

// BenchmarkAuthorize is the first half of it.
func BenchmarkAuthorize(b *testing.B) {
	tn := open(b)
	tn.signIn(agentOne)
	path := "/authorize?" + asks("rp").Encode()
	tn.get(path)
	b.ReportAllocs()
	for b.Loop() {
		tn.get(path)
	}
}

// BenchmarkRefresh renews one grant over and over.
func BenchmarkRefresh(b *testing.B) {
	tn := open(b)
	tn.signIn(agentOne)
	token := tn.redeem("rp", tn.code(asks("rp"))).Refresh
	b.ReportAllocs()
	for b.Loop() {
		token = tn.refresh("rp", token).Refresh
	}
}

// BenchmarkUserInfo asks about one agent.
func BenchmarkUserInfo(b *testing.B) {
	tn := open(b)
	tn.signIn(agentOne)
	token := tn.redeem("rp", tn.code(asks("rp"))).Access
	b.ReportAllocs()
	for b.Loop() {
		tn.userInfo(token)
	}
}
