// Fixup corrects what gowsdl v0.5.0 generates, by the schemas it was generated from, in place:
//
//	//go:generate go tool gowsdl -p wsdl -o wsdl_gen.go -d internal spec/service.wsdl
//	//go:generate go run raccordo/adapters/internal/soap/fixup internal/wsdl/wsdl_gen.go spec/service.wsdl spec/types.xsd
//
// All schema files are named, imported ones too. The result depends on the two alone, so that CI can generate anew and
// compare.
//
// What is corrected, each because a message would be wrong on the wire or an answer misread:
//
//   - what the schema requires is sent even when it is zero or empty; what is optional becomes a pointer where Go's zero
//     could be meant (numbers, booleans, dates), so that absent and false stay two things;
//   - xs:boolean becomes Boolean, which takes the four words of the standard: encoding/xml reads an empty element as
//     false, and T and FALSE as words;
//   - xs:decimal becomes Decimal, the text as it stands: float64 is no money;
//   - maxOccurs above 1 becomes a slice, and the members of a choice stand where the schema has them;
//   - the name of a global element no longer sticks to a type that is used elsewhere too: the element becomes a type of
//     its own around it;
//   - elements of another namespace bear it in their tag;
//   - pointers to pointers of strings become strings; types of XML Schema that gowsdl does not know become strings;
//   - clients, interfaces and JSON tags go: calls are made through the soap package.
//
// It refuses what it cannot put right: two types of one name, and schemas with unqualified local elements. What stays as
// gowsdl has it: a required element that is nil is left out, not sent with xsi:nil; patterns, lengths and enumerations are
// for the adapter to check.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fixup:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("want GENERATED.go and the SCHEMAS (wsdl, xsd) it was generated from")
	}
	source, err := os.ReadFile(args[0]) //nolint:gosec // a generator reads what it is told to
	if err != nil {
		return err
	}
	all := newSchemas()
	for _, name := range args[1:] {
		f, err := os.Open(name) //nolint:gosec // likewise
		if err != nil {
			return err
		}
		err = all.read(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fixed, err := fix(source, all)
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], fixed, 0o600) //nolint:gosec // likewise
}
