package access

import "embed"

//go:embed testdata/decisions/*.txt
var caseFiles embed.FS

// ShippedCases gives the decision cases that are shipped: what the shipped
// policies are meant to answer in the city of the demonstration. Name is the
// bare name of each file.
func ShippedCases() ([]Source, error) {
	entries, err := caseFiles.ReadDir("testdata/decisions")
	if err != nil {
		return nil, err
	}
	var all []Source
	for _, e := range entries {
		b, err := caseFiles.ReadFile("testdata/decisions/" + e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, Source{Name: e.Name(), Text: b})
	}
	return all, nil
}
