package credential

import (
	"slices"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

func (s scene) sheet() []seal.Secret {
	s.t.Helper()
	var codes []seal.Secret
	s.write(func(tx *store.Tx) error {
		var err error
		codes, err = s.NewRecoveryCodes(s.t.Context(), tx, s.agent.Number)
		return err
	})
	return codes
}

func (s scene) temporary(lasts time.Duration) seal.Secret {
	s.t.Helper()
	var code seal.Secret
	s.write(func(tx *store.Tx) error {
		var err error
		code, _, err = s.IssueTemporaryCode(s.t.Context(), tx, s.agent.Number, "A100010", "seen with a badge", lasts)
		return err
	})
	return code
}

func TestRecoveryCodes(t *testing.T) {
	each(t, func(s scene) {
		codes := s.sheet()
		if len(codes) != 10 || len(codes[0].Reveal()) != recoverySigns+3 {
			t.Fatalf("%d codes, the first of %d signs", len(codes), len(codes[0].Reveal()))
		}
		typed := seal.Secret(strings.ToLower(strings.ReplaceAll(codes[3].Reveal(), "-", " ")))
		if v := s.code(CodeTry{Code: typed}); !v.OK || v.Left != 9 || v.Proof.Kind != parvis.RecoveryCode {
			t.Errorf("in small letters with blanks: %+v", v)
		}
		if v := s.code(CodeTry{Code: codes[3]}); v.OK {
			t.Errorf("twice: %+v", v)
		}
		if v := s.code(CodeTry{Agent: "A100002", Code: codes[4]}); v.OK {
			t.Errorf("by somebody else: %+v", v)
		}
		won := s.race(20, func(tx *store.Tx) (bool, error) {
			v, err := s.TryCode(t.Context(), tx, CodeTry{Agent: s.agent.Number, Kind: parvis.RecoveryCode, Code: codes[5]})
			return v.OK, err
		})
		if won != 1 {
			t.Errorf("%d of 20 uses were accepted, want 1", won)
		}
		fresh := s.sheet()
		if v := s.code(CodeTry{Code: codes[6]}); v.OK {
			t.Errorf("of the sheet before: %+v", v)
		}
		if v := s.code(CodeTry{Code: fresh[0]}); !v.OK || v.Left != 9 {
			t.Errorf("of the new sheet: %+v", v)
		}
	})
}

func TestTemporaryCode(t *testing.T) {
	each(t, func(s scene) {
		old, code := s.temporary(time.Hour), s.temporary(time.Hour)
		if v := s.code(CodeTry{Kind: parvis.TemporaryCode, Code: old}); v.OK || v.Reason.Code != parvis.WhyCodeIncorrect {
			t.Errorf("the one before: %+v", v)
		}
		if v := s.code(CodeTry{Code: code}); !v.OK || v.Proof.Kind != parvis.TemporaryCode || v.Held != "" {
			t.Errorf("the right one: %+v", v)
		}
		if v := s.code(CodeTry{Code: code}); v.OK || v.Reason.Code != parvis.WhyCodeReused {
			t.Errorf("twice: %+v", v)
		}
		late := s.temporary(10 * time.Minute)
		s.clock.Move(10 * time.Minute)
		if v := s.code(CodeTry{Code: late}); v.OK || v.Reason.Code != parvis.WhyCodeExpired {
			t.Errorf("too late: %+v", v)
		}
		parallel := s.temporary(time.Hour)
		won := s.race(20, func(tx *store.Tx) (bool, error) {
			v, err := s.TryCode(t.Context(), tx, CodeTry{Agent: s.agent.Number, Kind: parvis.TemporaryCode, Code: parallel})
			return v.OK, err
		})
		if won != 1 {
			t.Errorf("%d of 20 uses were accepted, want 1", won)
		}
		// A stranger with the password guesses: the desk can help all the same.
		for range 5 {
			s.code(CodeTry{Kind: parvis.TemporaryCode, Code: seal.Secret(randomSigns(temporarySigns))})
		}
		if v := s.code(CodeTry{Code: "23456ABCDE"}); v.Reason.Code != parvis.WhyCodeTryLimit {
			t.Fatalf("%+v", v)
		}
		if v := s.code(CodeTry{Code: s.temporary(time.Hour)}); !v.OK {
			t.Errorf("a new one, while the one before waits: %+v", v)
		}
	})
}

func TestWhoMayGiveATemporaryCode(t *testing.T) {
	onSQLite(t, func(s scene) {
		for _, test := range []struct {
			by    string
			lasts time.Duration
			want  parvis.Code
		}{
			{"", time.Hour, parvis.CodeRefused},
			{"A100001", time.Hour, parvis.CodeRefused},
			{"A100010", time.Minute, parvis.CodeInvalid},
			{"A100010", 9 * time.Hour, parvis.CodeInvalid},
		} {
			err := s.Store.Write(t.Context(), func(tx *store.Tx) error {
				_, _, err := s.IssueTemporaryCode(t.Context(), tx, s.agent.Number, test.by, "", test.lasts)
				return err
			})
			if parvis.CodeOf(err) != test.want {
				t.Errorf("by %q for %s: %v", test.by, test.lasts, err)
			}
		}
	})
}

func TestRandomSigns(t *testing.T) {
	seen := map[rune]bool{}
	for range 200 {
		for _, r := range randomSigns(16) {
			seen[r] = true
		}
	}
	for _, r := range codeSigns {
		if !seen[r] {
			t.Errorf("%c never comes", r)
		}
	}
	if len(seen) != len(codeSigns) || slices.Contains([]rune(codeSigns), 'O') {
		t.Errorf("%d signs", len(seen))
	}
}
