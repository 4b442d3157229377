package access

import (
	"cmp"
	_ "embed" // for the shipped rules
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"parvis"
)

// The rules that every organisation has.
var (
	//go:embed policies/account.cedar
	accountRules []byte
	//go:embed policies/channel.cedar
	channelRules []byte
	//go:embed policies/device.cedar
	deviceRules []byte
	//go:embed policies/entitlement.cedar
	entitlementRules []byte
	//go:embed policies/proof.cedar
	proofRules []byte
	//go:embed policies/schema.cedarschema
	schemaText []byte
)

const accountFile = "policies/account.cedar"

func shipped() []Source {
	return []Source{
		{accountFile, accountRules},
		{"policies/channel.cedar", channelRules},
		{"policies/device.cedar", deviceRules},
		{"policies/entitlement.cedar", entitlementRules},
		{"policies/proof.cedar", proofRules},
	}
}

// rule is one Cedar policy, with what has to be known of it beforehand.
type rule struct {
	id     types.PolicyID
	file   string
	own    bool // of the organisation, not shipped
	policy *cedar.Policy
	reason parvis.ReasonCode // what a forbid says; empty for a permit
	app    parvis.AppID      // the only application that it concerns; empty for any
	under  types.EntityUID   // the unit or profile of the agents that it concerns; zero for anybody
	reads  factSet           // the facts that it looks at, and firstTime
	ages   []int64           // the ages of a second proof that it compares with
}

// load reads the shipped policies and the organisation's into rules, sorted by
// name, or says everything that is wrong with them.
func (p *policy) load(schema []byte, own []Source) ([]*rule, error) {
	validator, err := readSchema(schema)
	if err != nil {
		return nil, err
	}
	files := shipped()
	var rules []*rule
	var faults []error
	first := map[types.PolicyID]string{}
	for i, src := range append(slices.Clip(files), own...) {
		policies, err := cedar.NewPolicyListFromBytes(src.Name, src.Text)
		if err != nil {
			faults = append(faults, placed(src.Name, err))
			continue
		}
		for _, cp := range policies {
			where := fmt.Sprintf("%s:%d", src.Name, cp.Position().Line)
			r, said := p.check(cp, src.Name, validator)
			r.own = i >= len(files)
			if at, twice := first[r.id]; twice {
				said = append(said, fmt.Sprintf("the name %q is already used at %s", r.id, at))
			} else if r.id != "" {
				first[r.id] = where
			}
			for _, s := range said {
				faults = append(faults, fmt.Errorf("%s: %s", where, s))
			}
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, func(a, b *rule) int { return cmp.Compare(a.id, b.id) })
	return rules, errors.Join(faults...)
}

// check makes a rule of a policy and lists what is wrong with it.
func (p *policy) check(cp *cedar.Policy, file string, v *validate.Validator) (*rule, []string) {
	notes := cp.Annotations()
	r := &rule{
		id: types.PolicyID(notes["id"]), file: file, policy: cp, reason: parvis.ReasonCode(notes["reason"]), reads: firstTime,
	}
	var said []string
	if r.id == "" {
		said = append(said, `the policy has no name: write @id("theme.name") above it`)
	}
	switch _, given := notes["reason"]; {
	case cp.Effect() == cedar.Permit && given:
		said = append(said, "a permit refuses nothing, so it cannot have a @reason")
	case cp.Effect() == cedar.Forbid && !given:
		said = append(said, `the forbid has no reason: write @reason("code") above it`)
	case cp.Effect() == cedar.Forbid && !r.reason.Known():
		said = append(said, fmt.Sprintf("there is no reason %q", r.reason))
	}
	tree := (*ast.Policy)(cp.AST())
	if err := v.Policy("", tree); err != nil {
		said = append(said, strings.Split(err.Error(), "\n")...)
	}
	if only, ok := tree.Resource.(ast.ScopeTypeEq); ok {
		r.app = parvis.AppID(only.Entity.ID)
	}
	switch whom := tree.Principal.(type) {
	case ast.ScopeTypeIn:
		r.under = whom.Entity
	case ast.ScopeTypeIsIn:
		r.under = whom.Entity
	}
	if r.under.Type == "Agent" { // whoever is named is in, without being above
		r.under = types.EntityUID{}
	}
	return r, append(said, p.look(r, tree)...)
}

// look walks through the policy: which facts it reads, which ages it compares
// with, and whether what it names exists.
func (p *policy) look(r *rule, tree *ast.Policy) (said []string) {
	whole, loose := 0, 0 // uses of the context as a whole, of the age outside a plain comparison
	ast.Inspect(eval.PolicyToNode(tree), func(n ast.IsNode) bool {
		switch n := n.(type) {
		case ast.NodeTypeAccess:
			r.read(n.StrOpNode, &whole)
			if isAge(n) {
				loose++
			}
		case ast.NodeTypeHas:
			r.read(n.StrOpNode, &whole)
		case ast.NodeTypeVariable:
			if n.Name == "context" {
				whole++
			}
		case ast.NodeTypeLessThan:
			r.compare(n.BinaryNode, &loose)
		case ast.NodeTypeLessThanOrEqual:
			r.compare(n.BinaryNode, &loose)
		case ast.NodeTypeGreaterThan:
			r.compare(n.BinaryNode, &loose)
		case ast.NodeTypeGreaterThanOrEqual:
			r.compare(n.BinaryNode, &loose)
		case ast.NodeValue:
			if err := p.names(n.Value); err != "" {
				said = append(said, err)
			}
		}
		return true
	})
	if whole > 0 || loose > 0 {
		said = append(said, "compare second_age_s only by <, <=, > or >= with a number or with resource.proof_max_age, "+
			"and no context as a whole: else nobody could say until when the answer holds")
	}
	return said
}

func isAge(n ast.IsNode) bool {
	access, ok := n.(ast.NodeTypeAccess)
	return ok && access.Value == factNames[secondAge]
}

// compare notes the age that a rule compares with. Ages are whole seconds, so
// what it says may change at that age or one second later.
func (r *rule) compare(n ast.BinaryNode, loose *int) {
	other := n.Right
	switch {
	case isAge(n.Right):
		other = n.Left
	case !isAge(n.Left):
		return
	}
	switch other := other.(type) {
	case ast.NodeValue:
		if age, ok := other.Value.(types.Long); ok {
			r.ages = append(r.ages, int64(age), int64(age)+1)
			*loose--
		}
	case ast.NodeTypeAccess:
		if other.Value == maxAge {
			*loose--
		}
	}
}

// maxAge is the only attribute that an age may be compared with.
const maxAge = "proof_max_age"

// read notes that the rule looks at an attribute. One of the context is no use
// of the context as a whole.
func (r *rule) read(n ast.StrOpNode, whole *int) {
	if i := slices.Index(factNames[:], n.Value); i >= 0 {
		r.reads |= 1 << i
	}
	if v, ok := n.Arg.(ast.NodeTypeVariable); ok && v.Name == "context" {
		*whole--
	}
}

// names says what is wrong with an entity that a policy names. A rule about an
// application or a profile that does not exist is a slip of the pen.
func (p *policy) names(v types.Value) string {
	uid, ok := v.(types.EntityUID)
	if !ok {
		return ""
	}
	switch uid.Type {
	case "Application":
		if _, ok := p.byID[parvis.AppID(uid.ID)]; !ok {
			return fmt.Sprintf("there is no application %q", uid.ID)
		}
	case "Profile":
		if _, ok := p.profiles[parvis.ProfileID(uid.ID)]; !ok && parvis.ProfileID(uid.ID) != parvis.Standard {
			return fmt.Sprintf("there is no profile %q", uid.ID)
		}
	}
	return ""
}

func readSchema(text []byte) (*validate.Validator, error) {
	var s schema.Schema
	s.SetFilename("policies/schema.cedarschema")
	if err := s.UnmarshalCedar(text); err != nil {
		return nil, err
	}
	full, err := s.Resolve()
	if err != nil {
		return nil, err
	}
	return validate.New(full, validate.WithStrict()), nil
}

// cedarPlace is how cedar-go begins to say where it stopped reading.
var cedarPlace = regexp.MustCompile(`^(?:parser error: )?(?:parse error at )?<input>:(\d+):\d+:? *`)

// placed gives a parse error its file and line, as all other faults have.
func placed(name string, err error) error {
	return fmt.Errorf("%s", cedarPlace.ReplaceAllString(err.Error(), strings.ReplaceAll(name, "$", "$$")+":$1: "))
}
