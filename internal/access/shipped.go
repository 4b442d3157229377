package access

import (
	"embed"
	"io/fs"
)

//go:embed testdata/decisions/*.txt
var caseFiles embed.FS

// ShippedCases gives the decision cases that are shipped: what the shipped
// policies are meant to answer in the city of the demonstration. Name is the
// bare name of each file.
func ShippedCases() ([]Source, error) { return casesOf(caseFiles) }

func casesOf(files fs.FS) ([]Source, error) {
	entries, err := fs.ReadDir(files, "testdata/decisions")
	if err != nil {
		return nil, err
	}
	var all []Source
	for _, e := range entries {
		b, err := fs.ReadFile(files, "testdata/decisions/"+e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, Source{Name: e.Name(), Text: b})
	}
	return all, nil
}
