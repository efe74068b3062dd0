package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"raccordo/adapters/pec"
	"raccordo/contracts"
)

const judgedAt = "2026-11-22T12:00:00Z"

func sample(name string) string { return filepath.Join("testdata", "pec", name) }

// saved writes the sample, changed, and gives the file's name.
func saved(t *testing.T, change func(string) string) string {
	t.Helper()
	raw, err := os.ReadFile(sample("errore-consegna.eml"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, []byte(change(string(raw))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPECInspectTellsAllOfAMessage(t *testing.T) {
	file := sample("errore-consegna.eml")
	out, _ := must(t, 0, "", "pec", "inspect", file, "-roots", sample("roots.pem"), "-at", judgedAt, "-json")
	var got pec.Inspection
	if err := strict(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	private := contracts.NewPrivate
	want := pec.Inspection{
		File: file, Tipo: "errore-consegna", Errore: "altro", MsgID: "<h1.abcdefghijklmnopqrstuvwxyz.1@pec.ente.test>",
		HeaderMsgID: "<h1.abcdefghijklmnopqrstuvwxyz.1@pec.ente.test>", Identificativo: "mock1.20261121103000.00042@gestore-uno.test",
		Mittente: private("ufficio@pec.ente.test"), Consegna: private("protocollo@pec.azienda.test"), Gestore: "Gestore \u009b31m\u202eUno\x7f <=1+1>",
		Data: "2026-11-21T10:30:00+01:00", Verdict: pec.Valid, Signer: "posta-certificata@gestore-uno.test", Reason: "UNKNOWN_MAILBOX",
	}
	if len(got.Destinatari) != 1 || got.Destinatari[0] != (pec.Party{Address: private("protocollo@pec.azienda.test"), Tipo: "certificato"}) || len(got.Anomalies) != 0 {
		t.Errorf("%+v", got)
	}
	got.Destinatari, got.Anomalies = nil, nil
	if a, b := shownAll(got), shownAll(want); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	for _, key := range []string{
		"file", "tipo", "errore", "msgid", "header_msgid", "identificativo", "mittente", "destinatari", "address", "tipo", "consegna",
		"gestore", "data", "ricevuta", "verdict", "signer", "reason", "anomalies",
	} {
		if !strings.Contains(out, `"`+key+`":`) {
			t.Errorf("no key %q", key)
		}
	}
	if !strings.HasSuffix(out, `"anomalies":[]}`+"\n") || strings.Count(out, "\n") != 1 {
		t.Errorf("not one line: %q", out)
	}
}

func shownAll(i pec.Inspection) string {
	return strings.Join([]string{
		i.File, i.Tipo, i.Errore, i.MsgID, i.HeaderMsgID, i.Identificativo, i.Mittente.Reveal(), i.Consegna.Reveal(), i.Gestore, i.Data,
		i.Ricevuta, string(i.Verdict), i.Signer, i.Reason,
	}, "\n")
}

func TestPECInspectSteersNoTerminal(t *testing.T) {
	for _, args := range [][]string{{}, {"-json"}} {
		out, _ := must(t, 0, "", append([]string{"pec", "inspect", sample("errore-consegna.eml")}, args...)...)
		for _, r := range out {
			if !unicode.IsGraphic(r) && r != '\n' {
				t.Errorf("%v: %U is printed", args, r)
			}
		}
		if !strings.Contains(out, `\u009b31m\u202eUno`) || !strings.Contains(out, "protocollo@pec.azienda.test") {
			t.Errorf("%v: %s", args, out)
		}
	}
}

func TestPECInspectExitStatus(t *testing.T) {
	good := sample("errore-consegna.eml")
	altered := saved(t, func(s string) string { return strings.Replace(s, "stato accettato", "stato rifiutato", 1) })
	bare := saved(t, func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") })
	nothing := saved(t, func(string) string { return "" })
	notes := saved(t, func(string) string { return "ciao\n" })
	roots := []string{"-roots", sample("roots.pem"), "-at", judgedAt}
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"believed", append([]string{good}, roots...), 0, []string{"VALID"}},
		{"stored with bare line feeds", append([]string{bare}, roots...), 0, []string{"VALID"}},
		{"altered", append([]string{good, altered}, roots...), statusFailed, []string{"VALID", "BAD_SIGNATURE", "1 of 2 files cannot be believed"}},
		{"an empty file", append([]string{nothing}, roots...), statusFailed, []string{"UNSIGNED", "ORDINARY_MAIL"}},
		{"a file that is no mail", append([]string{notes}, roots...), statusFailed, []string{"MALFORMED", "MIME"}},
		{"without roots nobody is believed", []string{good}, 0, []string{"UNTRUSTED_CHAIN", "NO_ROOTS"}},
		{"without roots an altered one is", []string{altered}, 0, []string{"BAD_SIGNATURE"}},
		{"before the certificate was", []string{good, "-roots", sample("roots.pem"), "-at", "2016-01-01T00:00:00Z"}, statusFailed, []string{"UNTRUSTED_CHAIN"}},
		{"long after it", []string{good, "-roots", sample("roots.pem"), "-at", "2036-01-01T00:00:00Z"}, 0, []string{"VALID_AT_SIGNING"}},
		{"a file that is not there", []string{good, "nowhere.eml"}, statusFailed, []string{"UNTRUSTED_CHAIN", "1 of 2 files could not be read"}},
		{"a folder", []string{t.TempDir()}, statusFailed, []string{"1 of 1 files could not be read"}},
		{"roots that are none", []string{good, "-roots", good}, statusWrong, []string{"holds no PEM certificate"}},
		{"roots that are not there", []string{good, "-roots", "nowhere.pem"}, statusWrong, []string{"nowhere.pem"}},
		{"no instant", []string{good, "-at", "ieri"}, statusWrong, []string{"--at"}},
		{"no file", nil, statusWrong, []string{"file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, errOut := must(t, tc.status, "", append([]string{"pec", "inspect"}, tc.args...)...)
			for _, words := range tc.says {
				if !strings.Contains(out+errOut, words) {
					t.Errorf("does not say %q:\n%s%s", words, out, errOut)
				}
			}
		})
	}
}

func TestPECCompareBindsAReceiptToItsMessage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "\n", "\r\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const message = "Subject: Prova\nContent-Type: text/plain\n\nciao\n"
	receipt := func(returned string) string {
		return "X-Ricevuta: avvenuta-consegna\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822; name=postacert.eml\n\n" + returned + "--x--\n"
	}
	sent := write("sent.eml", message)
	same := write("same.eml", receipt("Received: from x\nMessage-ID: <y>\n"+message+"\n"))
	other := write("other.eml", receipt(strings.NewReplacer("ciao", "addio", "Prova", "\u009bProva").Replace(message)+"\n"))
	none := write("none.eml", strings.Replace(receipt(""), "message/rfc822", "text/plain", 1))

	out, _ := must(t, 0, "", "pec", "compare", same, sent, "-json")
	var got pec.Comparison
	if err := strict(out, &got); err != nil || got.Result != pec.Match || got.Parts != 1 {
		t.Errorf("%v: %s", err, out)
	}
	out, _ = must(t, 0, "", "pec", "compare", other, sent)
	if !strings.Contains(out, pec.Mismatch) || !strings.Contains(out, "subject") || strings.Contains(out, "\u009b") {
		t.Errorf("%s", out)
	}
	if _, errOut := must(t, statusWrong, "", "pec", "compare", none, sent); !strings.Contains(errOut, "returns no message") {
		t.Errorf("%s", errOut)
	}
	must(t, statusFailed, "", "pec", "compare", same, filepath.Join(dir, "nowhere.eml"))
}
