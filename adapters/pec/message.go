package pec

// An opened is one message taken apart, before anything of it is believed. What is in it are pieces of the message as it
// was fetched, but for the document, which is decoded.
type opened struct {
	root     entity
	sealed   bool   // it is a multipart/signed of two parts
	opaque   bool   // it is signed in a form that wraps the content (application/pkcs7-mime)
	broken   bool   // it cannot be read, or is a multipart/signed without two parts that can be
	signed   []byte // exactly what the signature covers
	p7s      entity // the part that holds the signature
	document []byte // daticert.xml
	daticert *daticert
	returned []byte // postacert.eml as it lies there; nil: none
}

// open takes a message apart. The error is an unreadable; what was found before it is given all the same, for a message
// that cannot be believed must still tell what it is about.
func open(raw []byte) (o opened, err error) {
	if o.root, err = readEntity(raw); err != nil {
		o.broken = true
		return o, unreadableMIME
	}
	body := o.root
	switch kind, _ := o.root.contentType(); kind {
	case "multipart/signed":
		parts, err := o.root.parts()
		if err != nil || len(parts) != 2 {
			o.broken = true
			return o, unreadableMIME
		}
		o.sealed, o.signed = true, parts[0]
		if o.p7s, err = readEntity(parts[1]); err != nil {
			o.broken = true // and still its document tells what it would be about
		}
		if body, err = readEntity(parts[0]); err != nil {
			o.broken = true
			return o, unreadableMIME
		}
	case "multipart/mixed":
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		o.opaque = true
		return o, noDaticert
	default:
		return o, noDaticert
	}
	return o, o.find(body)
}

// find looks for daticert.xml and postacert.eml among the direct children of the multipart/mixed and nowhere deeper, at
// any place: a returned message may itself contain a certified message with a document of its own.
func (o *opened) find(body entity) error {
	if kind, _ := body.contentType(); kind != "multipart/mixed" {
		return noDaticert
	}
	parts, err := body.parts()
	if err != nil {
		return unreadableMIME
	}
	var named, typed []entity
	for _, p := range parts {
		child, err := readEntity(p)
		if err != nil {
			return unreadableMIME
		}
		kind, name := child.kindAndName()
		switch {
		case name == "daticert.xml":
			named = append(named, child)
		case kind == "application/xml", kind == "text/xml":
			typed = append(typed, child)
		case kind == "message/rfc822" && (o.returned == nil || name == "postacert.eml"):
			o.returned = child.body
		}
	}
	if len(named) == 0 {
		named = typed // some leave the name out: the only XML child, if its root is a postacert
	}
	if len(named) != 1 {
		return noDaticert
	}
	if o.document, err = named[0].decoded(maxDaticert); err != nil {
		return unreadableXML
	}
	o.daticert, err = readDaticert(o.document)
	return err
}

// A marked is what the unsigned outer header claims the message to be.
type marked struct {
	tipo    string
	anomaly bool // a provider's wrapping of mail that cannot be certified
	odd     bool // claims more than one thing
	virus   bool
}

// mark reads the claims of the header (pec.md section 2).
func mark(root entity) marked {
	m := marked{virus: is(root, "x-verificasicurezza", "errore")}
	for _, f := range root.fields {
		if f.name != "x-ricevuta" && f.name != "x-trasporto" {
			continue
		}
		claim := lower(f.value)
		if f.name == "x-trasporto" && claim == "errore" {
			claim = tipoAnomalia
		}
		m.odd = m.odd || m.tipo != ""
		if m.tipo == "" {
			m.tipo = claim
		}
	}
	m.anomaly = m.tipo == tipoAnomalia && !m.odd
	return m
}

func is(e entity, name, value string) bool { return lower(e.get(name)) == value }
