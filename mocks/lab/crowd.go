package lab

import (
	"fmt"
	"strings"
	"time"
)

// crowd fills the cast up with the uneventful, made from lists of invented names by counting: nothing is drawn, so the
// cast is the same on every machine and in every version of the language.
func crowd() []Member {
	var all []Member
	for i := range 104 {
		all = append(all, crowdFirm(i))
	}
	for i := range 30 {
		all = append(all, crowdTrader(i))
	}
	for i := range 90 {
		all = append(all, crowdPerson(i))
	}
	for i := range 16 {
		all = append(all, crowdBody(i))
	}
	for i := range 10 {
		all = append(all, crowdWithout(i))
	}
	return all
}

func trades() []string {
	return []string{
		"Panificio", "Falegnameria", "Azienda Agricola", "Autofficina", "Lavanderia", "Pizzeria", "Carpenteria",
		"Floricoltura", "Salumificio", "Tessitura", "Agriturismo", "Trattoria", "Impresa Edile",
	}
}

func fancies() []string {
	return []string{"Acquamorta", "Belvedi", "Campolieto", "Dolcemele", "Erbafresca", "Fontefredda", "Gattamora", "Isolabruna"}
}

func forms() []string { return []string{"S.r.l.", "S.n.c.", "S.p.A.", "S.a.s.", "Soc. Coop."} }

func surnames() []string {
	return []string{
		"Abbondanzieri", "Bertolacci", "Cavallaroni", "Donatelli", "Ermellini", "Filiberti", "Gambarotta",
		"Imperatrice", "Lambertenghi", "Montefusco", "Nepoti", "Ottavianelli", "Pellegrinotti", "Querini", "Rampichini",
		"Scannavini", "Tagliaferri", "Ubaldini", "Vallesi", "Zampieroni",
	}
}

func firstNames() []string { // odd places are women
	return []string{"Aldo", "Beatrice", "Cesare", "Delia", "Egidio", "Fosca", "Guido", "Ines", "Lauro", "Mirella", "Nestore"}
}

func places() []string {
	return []string{"H501", "F205", "F839", "L219", "G273", "D612", "A944", "Z222", "Z249", "Z330", "Z336", "Z100", "Z210"}
}

func pick(list []string, i int) string { return list[i%len(list)] }

func slug(s string) string {
	return strings.ToLower(strings.NewReplacer(" ", "-", ".", "").Replace(s))
}

func crowdFirm(i int) Member {
	name := pick(trades(), i) + " " + pick(fancies(), i)
	address := fmt.Sprintf("%s-%d@%s", slug(name), i+1, domainOf(i/3, DomainFirms, DomainStudios))
	return firm("crowd-company", 7001001+7*i, i%100+1, name+" "+pick(forms(), i), pec(address))
}

func crowdBirth(i int) birth {
	return birth{
		surname: pick(surnames(), i), name: pick(firstNames(), i/3+i),
		day:    time.Date(1950+i%50, time.Month(i%12+1), i%28+1, 0, 0, 0, 0, time.UTC),
		female: (i/3+i)%len(firstNames())%2 == 1, place: pick(places(), i),
	}
}

func crowdAddress(b birth, i int, domain string) string {
	return fmt.Sprintf("%s.%s%d@%s", slug(b.name), slug(b.surname), i+1, domain)
}

// crowdTrader asks as an enterprise; every third is in INAD as a person too.
func crowdTrader(i int) Member {
	b := crowdBirth(i)
	m := person("crowd-trader", b)
	m.Name = fmt.Sprintf("%s di %s %s", pick(trades(), i+5), b.surname, b.name)
	m.Capacity, m.PartitaIVA = Enterprise, elevenCode(7002001+11*i, i%100+1)
	m.INIPEC = pec(fmt.Sprintf("ditta-%s-%d@%s", slug(b.surname), i+1, DomainFirms))
	if i%3 == 0 {
		m.INAD = []Domicile{personal(crowdAddress(b, i, DomainCitizens))}
	}
	return m
}

func crowdPerson(i int) Member {
	b := crowdBirth(100 + i)
	return person("crowd-person", b, personal(crowdAddress(b, 100+i, DomainCitizens)))
}

func crowdBody(i int) Member {
	name := fmt.Sprintf("Associazione %s %s", pick(fancies(), i), pick([]string{"ODV", "APS", "ETS"}, i))
	return body("crowd-body", 9701001+13*i, i%100+1, name,
		personal(fmt.Sprintf("%s-%d@%s", slug(name), i+1, DomainStudios)))
}

// crowdWithout has no domicile anywhere: firms unknown to INI-PEC and persons unknown to INAD, by turns.
func crowdWithout(i int) Member {
	if i%2 == 0 {
		return firm("crowd-without", 7003001+17*i, i+1, fmt.Sprintf("%s %s in liquidazione", pick(trades(), i), pick(fancies(), i+3)), nil)
	}
	return person("crowd-without", crowdBirth(200+i))
}
