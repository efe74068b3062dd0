package pec

import (
	"bytes"
	"encoding/binary"
	"net/mail"
	"path"
	"strings"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// blockedByProviders are extensions that access points refuse, as programs that a double click would run (pec.md section
// 3; the providers' help pages differ in detail).
func blockedByProviders() []string {
	return strings.Fields(`ade adp app asp bas bat cab chm cmd com cpl crt csh dll exe fxp gadget hlp hta inf ins isp jar js jse
		ksh lib lnk mad maf mag mam mar mas mat mda mdb mde mdt mdw mdz msc msi msp mst ocx ops pcd pif prf prg ps1 reg scf scr
		sct shb shs sys tmp url vb vbe vbs vsmacros vxd ws wsc wsf wsh`)
}

const (
	maxZipped   = 10_000 // names looked at in one zip file
	maxFileName = 200    // bytes; encoded, it must fit one line of a header
)

// inspect refuses what no access point would take, before anything is stored or leaves. It names places and extensions,
// never a file's name.
func (a *Adapter) inspect(m delivery.Message) error {
	for i, f := range m.Attachments {
		if f.Name.Len() > maxFileName {
			return contracts.Errorf(contracts.Invalid, "send: attachments[%d].name: more than %d bytes", i, maxFileName)
		}
		if ext := a.bad(f.Name.Reveal()); ext != "" {
			return contracts.Errorf(contracts.Invalid, "send: attachments[%d].name: providers refuse .%s files", i, ext)
		}
		inside, whole := zipped(f.Content.Reveal(), a.bad)
		if inside != "" {
			return contracts.Errorf(contracts.Invalid, "send: attachments[%d]: holds a .%s file, which providers refuse", i, inside)
		}
		if !whole {
			return contracts.Errorf(contracts.Invalid, "send: attachments[%d]: a zip file of more than %d files cannot be looked through", i, maxZipped)
		}
	}
	return nil
}

// bad gives the extension of a file's name if it is a blocked one.
func (a *Adapter) bad(name string) string {
	name = strings.TrimRight(strings.ToLower(name), " .\u00a0") // as the recipient's system would
	ext := strings.TrimPrefix(path.Ext(name), ".")
	if a.blocked[ext] {
		return ext
	}
	return ""
}

// zipped looks at the names in a zip file's central directory (APPNOTE section 4.3.12), if content is one, and gives the
// first that bad objects to. whole: all were seen. Archives inside archives are not opened.
func zipped(content []byte, bad func(string) string) (ext string, whole bool) {
	const (
		fileSignature, endSignature = "PK\x01\x02", "PK\x05\x06"
		fileHeader, endRecord       = 46, 22
	)
	tail := content[max(0, len(content)-endRecord-1<<16):]
	at := bytes.LastIndex(tail, []byte(endSignature))
	if at < 0 || len(tail)-at < endRecord {
		return "", true // no zip file
	}
	end := len(content) - len(tail) + at
	size := int(binary.LittleEndian.Uint32(content[end+12:]))
	if size > end {
		return "", true // of more than 4 GiB, or broken: nobody opens it by a double click
	}
	directory := content[end-size : end] // from its end, for something may stand before the archive
	for range maxZipped {
		if len(directory) < fileHeader || string(directory[:4]) != fileSignature {
			return "", true
		}
		n := int(binary.LittleEndian.Uint16(directory[28:]))
		next := fileHeader + n + int(binary.LittleEndian.Uint16(directory[30:])) + int(binary.LittleEndian.Uint16(directory[32:]))
		if len(directory) < next {
			return "", true
		}
		if ext := bad(string(directory[fileHeader : fileHeader+n])); ext != "" {
			return ext, true
		}
		directory = directory[next:]
	}
	return "", false
}

// preflight checks on the bytes themselves what the access point will check (pec.md section 3): one From, which is the
// mailbox; To and Cc are the forward paths, all of them and nobody else; no Bcc; our Message-ID. Bytes that fail were
// not made by us, or for somebody else: they must not leave.
func preflight(raw []byte, id string, b *mailbox, m delivery.Message) error {
	wrong := func(field string) error {
		return contracts.Errorf(contracts.Internal, "send: the frozen message's %s is not what the envelope says; nothing has left", field)
	}
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	msg, err := mail.ReadMessage(bytes.NewReader(append(header[:len(header):len(header)], "\r\n\r\n"...)))
	if err != nil {
		return wrong("header")
	}
	h := msg.Header
	for _, once := range []string{"From", "To", "Message-Id", "Date", "Mime-Version", "Subject", "X-Tiporicevuta"} {
		if len(h[once]) != 1 {
			return wrong(once)
		}
	}
	if len(h["Bcc"])+len(h["Cc"])+len(h["Sender"]) > 0 {
		return wrong("Bcc, Cc or Sender")
	}
	if h.Get("Message-Id") != "<"+id+">" {
		return wrong("Message-ID")
	}
	from, err := h.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Address != b.address.Reveal() {
		return wrong("From")
	}
	to, err := h.AddressList("To")
	if err != nil || len(to) != len(m.To) {
		return wrong("To")
	}
	for i, r := range m.To {
		if to[i].Address != r.Address.Reveal() {
			return wrong("To")
		}
	}
	return nil
}

// sentFrom gives the address in a frozen message's From; zero when it has none.
func sentFrom(frozen []byte) contracts.Address {
	header, _, _ := bytes.Cut(frozen, []byte("\r\n\r\n"))
	e, err := readEntity(header)
	if err != nil {
		return contracts.Address{}
	}
	from, err := mail.ParseAddress(e.get("from"))
	if err != nil {
		return contracts.Address{}
	}
	address, _ := contracts.ParseAddress(from.Address)
	return address
}
