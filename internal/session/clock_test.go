package session

import (
	"context"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// The clock goes back after somebody signed in. They have proved themselves all
// the same: the proof counts, as of now.
func TestClockBackAfterSignIn(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		b, s := begin(t, k, parvis.Internal, "A100001")
		r := b.get("http://" + plainPortal + "/")
		k.Of(r)
		clock.Move(-2 * time.Hour)
		now := clock.Now()
		byCookie, err := k.Of(r)
		byName, ok := k.Session(context.Background(), s.ID)
		if err != nil || !ok {
			t.Fatal("the session is over")
		}
		for _, got := range []parvis.Session{byCookie, byName} {
			if len(got.Proofs) != 1 || !got.Proofs[0].At.Equal(now) || !got.Began.Equal(now) || !got.LastSeen.Equal(now) || !got.Idle.Equal(now.Add(time.Hour)) {
				t.Errorf("at %v: %+v", now, got)
			}
		}
		// It rests from now on, not from when it was used in the future.
		clock.Move(59 * time.Minute)
		if _, ok := k.Session(context.Background(), s.ID); !ok {
			t.Error("over before it has rested an hour")
		}
		clock.Move(2 * time.Minute)
		if _, err := k.Of(r); err == nil {
			t.Error("lives after an hour unused, because of a use in the future")
		}
	})
}

// A session that rested too long by a clock that was wrong has not, once the
// clock is right again; one that somebody ended stays ended.
func TestClockBackAfterARest(t *testing.T) {
	each(t, func(t *testing.T, k *Keeper, clock *storetest.Clock) {
		b, _ := begin(t, k, parvis.Internal, "A100001")
		ended, s := begin(t, k, parvis.Internal, "A100001")
		r, e := b.get("http://"+plainPortal+"/"), ended.get("http://"+plainPortal+"/")
		k.Of(r)
		k.Of(e)
		clock.Move(3 * time.Hour)
		if _, err := k.Of(r); err == nil || k.Gone(r) != parvis.WhySessionExpired {
			t.Fatalf("after three hours: %v, %q", err, k.Gone(r))
		}
		write(t, k, func(tx *store.Tx) error { return k.End(tx, s.ID, "by_owner") })
		clock.Move(-3*time.Hour + time.Minute)
		if _, err := k.Of(r); err != nil || k.Gone(r) != "" {
			t.Errorf("a minute after its last use: over, %q", k.Gone(r))
		}
		if _, err := k.Of(e); err == nil || k.Gone(e) != parvis.WhySessionClosedRemote {
			t.Errorf("ended in the future: %v, %q", err, k.Gone(e))
		}
	})
}
