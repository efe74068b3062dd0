package soap

import (
	"encoding/xml"
	"errors"
	"reflect"
	"testing"

	gowsdl "github.com/hooklift/gowsdl/soap"
)

type row struct {
	Name  string `xml:"name"`
	Inner *row   `xml:"inner,omitempty"`
}

type base struct {
	ID int64 `xml:"id,omitempty"`
}

type manifold struct {
	XMLName xml.Name `xml:"urn:example:thing told"`
	*base
	Rows  []*row         `xml:"row"`
	Words []string       `xml:"word"`
	Bytes []byte         `xml:"bytes"`
	Day   gowsdl.XSDDate `xml:"day"`
	Far   string         `xml:"urn:far far"`
	Group struct {
		One bool `xml:"one"`
	} `xml:"group"`
	Kind string `xml:"kind,attr"`
	Rest string `xml:",innerxml"`
	Any  any    `xml:"any"`
}

func TestAnAnswerHasTheShapeOfItsType(t *testing.T) {
	t.Parallel()
	form := shapeOf(reflect.TypeFor[manifold](), map[reflect.Type]*shape{})
	for _, tc := range []struct {
		name, text string
		want       error
	}{
		{"lists may repeat", `<row><name>a</name></row><row><name>b</name></row><word>a</word><word>b</word>`, nil},
		{"what is in a list may not", `<row><name>a</name><name>b</name></row>`, errRepeated},
		{"a type within itself", `<row><inner><inner><name>a</name><name>b</name></inner></inner></row>`, errRepeated},
		{"bytes are no list", `<bytes>QQ==</bytes><bytes>QQ==</bytes>`, errRepeated},
		{"an embedded type's element", `<id>1</id><id>2</id>`, errRepeated},
		{"an empty number in an embedded type", `<id/>`, errVacant},
		{"an empty text", `<word/><bytes/>`, nil},
		{"a type that reads itself", `<day><x/></day>`, nil},
		{"a namespace in the tag", `<f:far xmlns:f="urn:far">x</f:far>`, nil},
		{"the one around it in its place", `<far>x</far>`, errForeign},
		{"a group", `<group><one>true</one></group>`, nil},
		{"a group's element elsewhere", `<one><x/></one>`, nil},
		{"a group with an empty boolean", `<group><one></one></group>`, errVacant},
		{"an attribute's name as an element", `<kind><x/></kind>`, nil},
		{"anything", `<any><a/><a/></any>`, nil},
		{"what nobody knows", `<new><id/><row/></new><new/>`, nil},
		{"text made of sections", `<id><![CDATA[7]]></id>`, nil},
	} {
		text := body(`<told xmlns="urn:example:thing">` + tc.text + `</told>`)
		if _, err := scan([]byte(text), operation.Answer, form, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	other := body(`<other xmlns="urn:example:thing"><id/><id/></other>`)
	if _, err := scan([]byte(other), operation.Answer, form, nil); err != nil {
		t.Errorf("another element is held against the shape: %v", err)
	}
}
