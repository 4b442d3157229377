package directory

import (
	"encoding/binary"
	"time"

	"parvis"
)

// packed is an agent and their standing in one string without pointers. Text
// is unpacked where it lies; moments keep the microseconds of the store.
type packed string

func pack(a *parvis.Agent, st *parvis.Standing) packed {
	c := &codec{write: true, out: make([]byte, 0, 256)}
	c.facts(a, st)
	return packed(c.out)
}

func (p packed) unpack() (*parvis.Agent, *parvis.Standing) {
	c := &codec{in: string(p)}
	both := new(struct {
		agent    parvis.Agent
		standing parvis.Standing
	})
	c.facts(&both.agent, &both.standing)
	return &both.agent, &both.standing
}

// codec goes through the facts in one order, to write them or to read back
// what it wrote itself in this process.
type codec struct {
	write bool
	out   []byte
	in    string
}

func (c *codec) facts(a *parvis.Agent, st *parvis.Standing) {
	text(c, &a.Number)
	text(c, &a.FamilyName)
	text(c, &a.UsageName)
	text(c, &a.GivenNames)
	text(c, &a.Unit)
	text(c, &a.Employer)
	text(c, &a.Category)
	text(c, &a.Position)
	text(c, &a.Absence)
	c.moment(&a.AbsenceFrom)
	c.moment(&a.AbsenceUntil)
	c.moment(&a.ContractFrom)
	c.moment(&a.ContractUntil)
	text(c, &a.JobCode)
	text(c, &a.JobLabel)
	text(c, &a.Manager)
	text(c, &a.HRUnit)
	text(c, &a.Email)
	text(c, &a.PersonalEmail)
	text(c, &a.PersonalMobile)
	text(c, &a.Badge)
	list(c, &a.Profiles, text)
	list(c, &a.Entitlements, text)
	list(c, &a.Roles, text)
	c.moment(&a.OffSince)
	text(c, &a.NewUnit)
	c.moment(&a.DeceasedOn)
	c.moment(&a.MissingSince)

	c.flag(&st.Activated)
	c.moment(&st.PasswordSince)
	c.moment(&st.PasswordExpires)
	c.flag(&st.PasswordLeaked)
	c.moment(&st.LockedUntil)
	list(c, &st.Enrolled, text)
	list(c, &st.Sites, text)
	c.moment(&st.Temporary)
	c.flag(&st.VerifierLinked)
	list(c, &st.Links, text)
	c.moment(&st.SecondAsked)
	list(c, &st.Devices, (*codec).device)
}

func (c *codec) device(d *parvis.Device) {
	text(c, &d.ID)
	text(c, &d.Agent)
	text(c, &d.Name)
	c.flag(&d.Validated)
	c.flag(&d.Pending)
	c.moment(&d.FirstSeen)
	c.moment(&d.LastSeen)
}

// number goes through a number, short when it is small.
func (c *codec) number(n int64) int64 {
	if c.write {
		c.out = binary.AppendVarint(c.out, n)
		return n
	}
	var head [binary.MaxVarintLen64]byte
	n, size := binary.Varint(head[:copy(head[:], c.in)])
	c.in = c.in[size:]
	return n
}

func text[S ~string](c *codec, s *S) {
	n := c.number(int64(len(*s)))
	if c.write {
		c.out = append(c.out, *s...)
		return
	}
	*s, c.in = S(c.in[:n]), c.in[n:]
}

func list[T any](c *codec, all *[]T, each func(*codec, *T)) {
	n := c.number(int64(len(*all)))
	if !c.write && n > 0 {
		*all = make([]T, n)
	}
	for i := range *all {
		each(c, &(*all)[i])
	}
}

func (c *codec) flag(b *bool) {
	n := int64(0)
	if *b {
		n = 1
	}
	*b = c.number(n) == 1
}

// moment writes the zero moment as the store does.
func (c *codec) moment(t *time.Time) {
	n := int64(0)
	if !t.IsZero() {
		n = t.UnixMicro()
	}
	if n = c.number(n); !c.write && n != 0 {
		*t = time.UnixMicro(n).UTC()
	}
}
