package pec

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

// A read receipt, taken apart by the standard library alone.
type read struct {
	header   mail.Header
	cert     certificate
	xml      []byte
	original []byte
}

type certificate struct {
	XMLName      xml.Name `xml:"postacert"`
	Tipo         string   `xml:"tipo,attr"`
	Errore       string   `xml:"errore,attr"`
	Intestazione struct {
		Mittente    string `xml:"mittente"`
		Destinatari []struct {
			Tipo    string `xml:"tipo,attr"`
			Address string `xml:",chardata"`
		} `xml:"destinatari"`
		Risposte string `xml:"risposte"`
		Oggetto  string `xml:"oggetto"`
	} `xml:"intestazione"`
	Dati struct {
		Gestore string `xml:"gestore-emittente"`
		Data    struct {
			Zona   string `xml:"zona,attr"`
			Giorno string `xml:"giorno"`
			Ora    string `xml:"ora"`
		} `xml:"data"`
		Identificativo string `xml:"identificativo"`
		MsgID          string `xml:"msgid"`
		Ricevuta       struct {
			Tipo string `xml:"tipo,attr"`
		} `xml:"ricevuta"`
		Consegna string   `xml:"consegna"`
		Ricevuti []string `xml:"ricezione"`
		Esteso   string   `xml:"errore-esteso"`
	} `xml:"dati"`
}

func open(t *testing.T, raw []byte) read {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out := read{header: msg.Header}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	body := msg.Body
	if err == nil && kind == "multipart/signed" {
		part, partErr := multipart.NewReader(msg.Body, params["boundary"]).NextRawPart()
		if partErr != nil {
			t.Fatal(partErr)
		}
		kind, params, err = mime.ParseMediaType(part.Header.Get("Content-Type"))
		body = part
	}
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("signed part %q: %v", kind, err)
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		switch p.FileName() {
		case "daticert.xml":
			if out.xml, err = base64.StdEncoding.DecodeString(strings.NewReplacer("\r\n", "").Replace(string(body))); err != nil {
				t.Fatal(err)
			}
			if err := xml.Unmarshal(out.xml, &out.cert); err != nil {
				t.Fatal(err)
			}
		case "postacert.eml":
			out.original = body
		}
	}
}

func asSMTP(err error, target **smtp.SMTPError) bool { return errors.As(err, target) }
