package page

import (
	"time"
)

// The screens of the gallery: what the portal would make, with the city of the
// demonstration. Both languages come from one function so that they stay alike.

func say(lang string) func(fr, en string) string {
	return func(fr, en string) string {
		if lang == "en" {
			return en
		}
		return fr
	}
}

func testWords(lang string) Words {
	t := say(lang)
	return Words{
		Skip: t("Aller au contenu", "Skip to content"), Navigation: t("Vos pages", "Your pages"),
		Languages: t("Langue", "Language"), Theme: t("Thème", "Theme"), Light: t("Clair", "Light"), Dark: t("Sombre", "Dark"), System: t("Système", "System"),
		Required: t("(obligatoire)", "(required)"), Optional: t("(facultatif)", "(optional)"),
		ErrorPrefix: t("Erreur : ", "Error: "), ErrorHeading: t("Il y a un problème", "There is a problem"), ErrorMark: t("Erreur :", "Error:"),
		ShowPassword: t("Afficher", "Show"), HidePassword: t("Masquer", "Hide"),
		Copy: t("Copier", "Copy"), Copied: t("Copié", "Copied"), Sending: t("Envoi en cours", "Sending"),
		Why: t("Pourquoi", "Why"), Checklist: t("Ce qui est bon, ce qui manque", "What is right, what is missing"),
		WhatToDo: t("Que faire", "What to do"), Meanwhile: t("En attendant", "Meanwhile"), Ticket: t("À donner à l’assistance", "Give this to the support desk"),
		Right: t("En règle", "Right"), Missing: t("Manque", "Missing"), Telephone: t("Téléphone", "Telephone"), Hours: t("Horaires", "Hours"),
		Reference: t("Référence :", "Reference:"), Elsewhere: t("site extérieur", "another site"),
	}
}

func testChrome(lang string, in bool) Chrome {
	t := say(lang)
	other := Link{Text: "English", Href: "?lang=en", Lang: "en"}
	if lang == "en" {
		other = Link{Text: "Français", Href: "?lang=fr", Lang: "fr"}
	}
	c := Chrome{
		Organisation: "Ville de Belleroche", Service: t("Espace des agents", "Staff space"), Home: "/",
		Languages: []Link{other},
		Theme:     Theme{Action: "/preferences/theme", Return: "/"},
		Channel: Channel{
			Entrance: 3, Label: t("Vous êtes sur :", "You are on:"), Here: t("portail mobile", "the mobile portal"),
			Facts: []string{"Internet", t("téléphone reconnu", "known telephone")},
			More:  Link{Text: t("Qu’est-ce que ça change ?", "What does that change?"), Href: "/channel"},
		},
		Help: Help{
			Title: t("Besoin d’aide", "Help"),
			Text:  t("Appelez, ou répondez à quelques questions.", "Call, or answer a few questions."),
			Links: []Link{{Text: t("Je n’arrive pas à entrer", "I cannot get in"), Href: "/diagnosis"}},
			People: []Person{{
				Role: t("Assistance informatique", "Support desk"), Phone: "01 99 00 10 10",
				Hours: t("Du lundi au vendredi, de 7 h 30 à 19 h", "Monday to Friday, 7:30 to 19:00"),
				Open:  &State{Done, t("Ouvert maintenant", "Open now")},
			}},
		},
		Footer: []Link{
			{Text: t("Accessibilité : partiellement conforme", "Accessibility: partly compliant"), Href: "/accessibility"},
			{Text: t("Mentions légales", "Legal notice"), Href: "/legal"},
			{Text: t("Données personnelles", "Privacy"), Href: "/privacy"},
			{Text: t("État du service", "Service status"), Href: "/status"},
		},
		Legal: t("Accès réservé aux agents de la Ville de Belleroche. Les connexions sont enregistrées.", "For staff of the City of Belleroche only. Connections are recorded."),
		Words: testWords(lang),
	}
	if in {
		c.Agent = "Camille Renard"
		c.SignOut = &Button{Text: t("Fermer ma session", "Sign out"), Post: "/signout"}
		c.Nav = []Link{
			{Text: t("Mes applications", "My applications"), Href: "/", Current: true},
			{Text: t("Sécurité", "Security"), Href: "/security"},
			{Text: t("Sessions", "Sessions"), Href: "/sessions"},
			{Text: t("Journal", "Activity"), Href: "/activity"},
		}
		c.Session = &Session{
			Left: 30 * time.Minute, Warn: 5 * time.Minute, Action: "/session/extend",
			Text: t("Votre session se ferme dans moins de 5 minutes.", "Your session ends in less than 5 minutes."), Button: t("Prolonger", "Extend"), Extended: t("Votre session est prolongée.", "Your session is extended."),
		}
	}
	return c
}

func testScreens(lang string) []Page {
	t := say(lang)
	support := Person{
		Role: t("Assistance informatique", "Support desk"), Phone: "01 99 00 10 10",
		Hours: t("Du lundi au vendredi, de 7 h 30 à 19 h", "Monday to Friday, 7:30 to 19:00"), Open: &State{Done, t("Ouvert maintenant", "Open now")},
	}
	contact := Person{
		Role: t("Correspondant informatique de votre service", "IT contact of your unit"), Name: "Dominique Lefèvre", Phone: "01 99 00 12 34",
		Hours: t("Mardi et jeudi, de 9 h à 12 h", "Tuesday and Thursday, 9:00 to 12:00"), Open: &State{Wait, t("Fermé. Rouvre mardi à 9 h", "Closed. Reopens Tuesday at 9:00")},
	}
	pages := []Page{
		{
			Screen: "start", Title: t("L’espace des agents", "The staff space"),
			Lead: t("Vos applications, où que vous soyez. Quand l’une ne s’ouvre pas, vous saurez pourquoi et que faire.", "Your applications, wherever you are. When one does not open, you will know why and what to do."),
			Body: Stack{
				Actions{{Text: t("Ouvrir ma session", "Sign in"), Kind: "primary", Href: "/signin"}, {Text: t("Activer mon accès", "Activate my access"), Href: "/activate"}},
				Links{{Text: t("Je n’arrive pas à entrer", "I cannot get in"), Href: "/diagnosis"}},
				State{Done, t("Tous les services fonctionnent", "All services work")},
			},
			Aside: Square{Entrance: 3},
		},
		{
			Screen: "sign_in_identifier", Title: t("Qui ouvre la session ?", "Who is signing in?"),
			Body: Form{Action: "/signin", Hidden: []Hidden{{"return", "x"}}, Body: Stack{
				Field{Name: "identifier", Label: t("Numéro d’agent ou adresse e-mail professionnelle", "Agent number or work email address"), Hint: t("Par exemple A100001, inscrit sur votre bulletin de paie", "For example A100001, printed on your pay slip"), Required: true, Autocomplete: "username webauthn"},
			}, Buttons: []Button{{Text: t("Continuer", "Continue"), Kind: "primary"}, {Text: t("Identifiant oublié", "Forgotten identifier"), Kind: "plain", Href: "/recover"}}},
		},
		{
			Screen: "sign_in_secret", Title: t("Mot de passe du compte agent", "Password of the agent account"), Erroneous: true,
			Body: Stack{
				Notice{Mark: Stop, Alert: true, Title: t("L’identifiant ou le mot de passe ne correspond pas", "The identifier or the password does not match"), Text: t("Vérifiez que vous utilisez le mot de passe de votre compte agent, et non celui de votre Mon Compte. Vérifiez aussi la touche majuscule.", "Check that you are using the password of your agent account, not that of your Mon Compte. Check caps lock too.")},
				Form{Action: "/signin", Body: Stack{
					Identity{Label: t("Compte agent", "Agent account"), Text: "A100001", Change: Link{Text: t("Changer", "Change"), Href: "/signin"}},
					Field{Name: "password", Label: t("Mot de passe", "Password"), Type: "password", Required: true, Autocomplete: "current-password"},
				}, Buttons: []Button{{Text: t("Ouvrir ma session", "Sign in"), Kind: "primary"}, {Text: t("Mot de passe oublié", "Forgotten password"), Kind: "plain", Href: "/recover"}}},
			},
		},
		{
			Screen: "password_change_required", Title: t("Choisissez un nouveau mot de passe pour votre compte agent", "Choose a new password for your agent account"), Short: t("Nouveau mot de passe", "New password"),
			Lead:   t("Le mot de passe actuel a été trouvé dans une fuite de données.", "The current password was found in a data leak."),
			Errors: []Fault{{"new_password", t("Ce mot de passe est trop courant. Choisissez plusieurs mots sans lien entre eux", "This password is too common. Choose several unrelated words")}, {"charter", t("Lisez la charte et cochez la case", "Read the charter and tick the box")}},
			Body: Form{Action: "/signin", Body: Stack{
				Field{
					Name: "new_password", Label: t("Nouveau mot de passe", "New password"), Type: "password", Required: true, Autocomplete: "new-password",
					Hint:     t("15 caractères ou plus. Plusieurs mots sans lien se retiennent bien.", "15 characters or more. Several unrelated words are easy to remember."),
					Strength: &Strength{Label: t("Solidité :", "Strength:"), Text: t("faible, se devine en quelques heures", "weak, can be guessed in a few hours"), Level: 1},
				},
				Choices{Name: "others", Legend: t("Vos autres sessions", "Your other sessions"), Required: true, Options: []Option{
					{Value: "end", Label: t("Les fermer", "Close them"), Hint: t("Recommandé après une fuite", "Recommended after a leak"), Checked: true}, {Value: "keep", Label: t("Les garder ouvertes", "Keep them open")},
				}},
				Choices{Name: "charter", Required: true, Options: []Option{{Value: "yes", Label: t("J’ai lu la charte informatique", "I have read the IT charter")}}},
			}, Buttons: []Button{{Text: t("Enregistrer", "Save"), Kind: "primary"}}},
		},
		{
			Screen: "second_factor", Title: t("Saisissez le code de votre application", "Enter the code from your app"),
			Body: Stack{
				Form{Action: "/signin", Body: Stack{
					Field{Name: "code", Label: t("Code à 6 chiffres", "6-digit code"), Type: "code", Required: true, Hint: t("Ouvrez l’application d’authentification sur votre téléphone", "Open the authenticator app on your telephone")},
				}, Buttons: []Button{{Text: t("Vérifier", "Check"), Kind: "primary"}}},
				Links{{Text: t("Utiliser une autre méthode", "Use another method"), Href: "/signin?method=other"}, {Text: t("Je n’ai plus mon téléphone", "I no longer have my telephone"), Href: "/recover"}},
			},
		},
	}
	pages = append(pages, testSignedIn(t, support, contact)...)
	pages = append(pages, testAccount(t)...)
	for i := range pages {
		pages[i].Lang = lang
		pages[i].Chrome = testChrome(lang, i > 4)
	}
	return pages
}

func testSignedIn(t func(fr, en string) string, support, contact Person) []Page {
	never := t("Pas depuis le portail mobile", "Not from the mobile portal")
	return []Page{
		{
			Screen: "home", Title: t("Bonjour Camille Renard", "Hello Camille Renard"), Width: Wide,
			Body: Stack{
				Notice{
					Mark: Warn, Title: t("Le mot de passe de votre compte agent expire dans 7 jours, lundi 30 novembre", "The password of your agent account expires in 7 days, on Monday 30 November"),
					Text:    t("Après cette date, vous devrez le changer avant d’entrer.", "After that date you will have to change it before you can get in."),
					Actions: []Button{{Text: t("Le changer maintenant", "Change it now"), Href: "/security/password"}},
				},
				Launcher{
					{Title: t("Ma messagerie", "My mail"), Tiles: []Tile{
						{Name: t("Messagerie", "Mail"), For: t("Courriels, agenda, contacts", "Mail, calendar, contacts"), Href: "http://messagerie.example.org", Icon: "mail", State: State{Open, t("Ouvrir", "Open")}},
						{Name: t("Annuaire", "Directory"), For: t("Trouver un collègue ou un service", "Find a colleague or a unit"), Href: "/app/annuaire", Icon: "address-book", State: State{Open, t("Ouvrir — version réduite", "Open — reduced version")}},
					}},
					{Title: t("Ma paie et mes congés", "My pay and my leave"), Tiles: []Tile{
						{Name: t("Bulletins de paie", "Pay slips"), For: t("Consulter et télécharger vos bulletins", "Read and download your pay slips"), Href: "/app/paie", Icon: "receipt", State: State{Open, t("Ouvrir", "Open")}},
						{Name: t("Congés", "Leave"), For: t("Poser et suivre vos congés", "Ask for leave and follow it"), Href: "/app/conges", Icon: "calendar", State: State{Open, t("Ouvrir", "Open")}},
					}},
					{Title: t("Mon métier", "My work"), Tiles: []Tile{
						{Name: "Finances", For: t("Engagements, factures, marchés", "Commitments, invoices, contracts"), Href: "/app/finances", Icon: "coin", State: State{Locked, never}, Way: t("Depuis un poste au bureau ou le VPN", "From an office workstation or the VPN")},
						{Name: "Urbanisme", For: t("Permis de construire et déclarations de travaux", "Building permits and declarations of work"), Href: "/app/urbanisme", Icon: "map-pin", State: State{Locked, never}, Way: t("Au bureau, de 7 h à 20 h", "At the office, 7:00 to 20:00")},
						{Name: "Social", For: t("Dossiers des familles suivies", "Files of supported families"), Href: "/app/social", Icon: "users", State: State{Info, t("Sur demande", "On request")}, Way: t("À demander à votre responsable", "Ask your manager")},
						{Name: t("Parc automobile", "Vehicles"), For: t("Réserver un véhicule", "Book a vehicle"), Href: "/app/parc", Icon: "apps", State: State{Stop, t("Indisponible depuis 10 h 20", "Unavailable since 10:20")}, Way: t("L’incident est connu", "The incident is known")},
					}},
				},
			},
		},
		{
			Screen: "why_not", Title: t("Finances ne s’ouvre pas depuis le portail mobile", "Finances does not open from the mobile portal"), Reasons: []string{"channel_not_allowed", "factor_required"}, Reference: "K7QP-3M9T", Width: Wide,
			Body: Refusal{
				Why:    []string{t("Votre identifiant et votre mot de passe sont bons. Finances contient des données réservées au réseau de la Ville de Belleroche.", "Your identifier and your password are right. Finances holds data reserved to the network of the City of Belleroche.")},
				Checks: Checklist{{true, t("Votre compte agent est ouvert", "Your agent account is open")}, {true, t("Votre mot de passe est bon", "Your password is right")}, {true, t("Finances fait partie de vos applications", "Finances is one of your applications")}, {false, t("Une entrée d’où Finances s’ouvre", "An entrance from which Finances opens")}},
				Steps: []Step{
					{Title: t("À distance, ouvrez le VPN sur votre ordinateur de service", "Remotely, start the VPN on your work computer"), Text: t("Puis revenez ici : Finances s’ouvrira.", "Then come back here: Finances will open."), By: t("Vous pouvez le faire maintenant", "You can do it now"), Actions: []Button{{Text: t("Ouvrir le VPN : mode d’emploi", "How to start the VPN"), Kind: "primary", Href: "/help/vpn"}}},
					{Title: t("Au bureau, ouvrez Finances depuis un poste", "At the office, open Finances from a workstation"), Text: t("Du lundi au vendredi, de 7 h à 20 h.", "Monday to Friday, 7:00 to 20:00."), Actions: []Button{{Text: t("M’envoyer le lien pour plus tard", "Send me the link for later"), Post: "/why/K7QP-3M9T/link"}}},
				},
				Meanwhile: t("Ici, vous pouvez ouvrir :", "Here you can open:"),
				Here:      []Link{{Text: t("Messagerie", "Mail"), Href: "/app/messagerie"}, {Text: t("Bulletins de paie", "Pay slips"), Href: "/app/paie"}, {Text: t("Congés", "Leave"), Href: "/app/conges"}},
				Ticket: &Ticket{Reference: "K7QP-3M9T", Facts: Record{
					{Term: t("Quand", "When"), Text: t("lundi 23 novembre à 14 h 20", "Monday 23 November at 14:20")}, {Term: t("Entrée", "Entrance"), Text: t("portail mobile", "mobile portal")}, {Term: t("Compte", "Account"), Text: t("compte agent A100001", "agent account A100001")},
				}},
				People: []Person{contact},
				Other:  &Link{Text: t("Ce n’est pas mon problème", "This is not my problem"), Href: "/diagnosis"},
			},
		},
		{
			Screen: "activation_overview", Title: t("Deux comptes, et vous pourrez travailler", "Two accounts, and you can work"), Width: Wide,
			Lead: t("Les deux comptes sont nécessaires. Si l’un manque, la première connexion échoue.", "Both accounts are needed. If one is missing, the first connection fails."),
			Body: Stack{
				Progress{Text: t("2 étapes sur 5 faites", "2 steps of 5 done"), Done: 2, Total: 5},
				Pair{
					First: Account{Title: t("Votre compte agent", "Your agent account"), For: t("Pour travailler", "For working"), State: State{Done, t("Fait le 23 novembre", "Done on 23 November")}, Facts: Record{
						{Term: t("Identifiant", "Identifier"), Text: "A100008", Mono: true}, {Term: t("Tenu par", "Run by"), Text: t("Direction informatique", "IT department")}, {Term: t("Qui aide", "Who helps"), Text: t("Assistance, 01 99 00 10 10", "Support desk, 01 99 00 10 10")},
					}},
					Second: Account{Title: t("Votre Mon Compte", "Your Mon Compte"), For: t("Pour vérifier que c’est vous", "For checking that it is you"), State: State{Todo, t("À faire", "To do")}, Facts: Record{
						{Term: t("Identifiant", "Identifier"), Text: t("l’adresse que vous y avez choisie", "the address you chose there")}, {Term: t("Tenu par", "Run by"), Text: t("Ville de Belleroche, service aux usagers", "City of Belleroche, public services")}, {Term: t("Qui aide", "Who helps"), Text: "aide.moncompte.example.org"},
					}, Actions: []Button{{Text: t("Continuer vers Mon Compte", "Continue to Mon Compte"), Kind: "primary", Href: "/activate/verifier"}}},
					Link: t("Le lien entre les deux se fait une seule fois, ici.", "The link between the two is made once, here."),
				},
				Section{Title: t("Ensuite", "Then"), Body: Tasks{
					{Number: 3, Title: t("Vérifier vos informations", "Check your information"), Text: t("Nom, service, date de prise de poste", "Name, unit, start date"), State: State{Done, t("Fait", "Done")}},
					{Number: 4, Title: t("Ajouter une deuxième preuve", "Add a second proof"), Text: t("Application, clé d’accès ou codes imprimés", "App, passkey or printed codes"), State: State{Todo, t("À faire", "To do")}, Action: &Button{Text: t("Commencer", "Start"), Href: "/activate/factor", About: t("la deuxième preuve", "the second proof")}},
					{Number: 5, Title: t("Essayer vos entrées", "Try your entrances"), State: State{Locked, t("Pas encore possible", "Not yet possible")}},
				}},
			},
		},
		{
			Screen: "app_detail", Title: t("Où Finances s’ouvre pour vous", "Where Finances opens for you"), Width: Wide,
			Lead: t("Engagements, factures, marchés.", "Commitments, invoices, contracts."),
			Body: Matrix{Caption: t("Finances, entrée par entrée", "Finances, entrance by entrance"), Where: t("Où", "Where"), State: t("Pour vous", "For you"), Places: []Place{
				{1, t("Poste au bureau", "Office workstation"), t("Lundi–vendredi, 7 h–20 h", "Monday–Friday, 7:00–20:00"), State{Done, t("Ouvert", "Open")}, "", false},
				{2, "VPN", t("Ordinateur de service", "Work computer"), State{Wait, t("Ouvert après validation du VPN", "Open once the VPN is validated")}, t("Demande en cours depuis le 3 mars", "Request in progress since 3 March"), false},
				{3, t("Portail mobile", "Mobile portal"), t("Vous êtes ici", "You are here"), State{Locked, t("Pas disponible", "Not available")}, t("Décision de la direction informatique", "Decision of the IT department"), true},
			}},
			Aside: People{support, contact},
		},
	}
}

// testAccount is the pages about an account.
func testAccount(t func(fr, en string) string) []Page {
	return []Page{
		{
			Screen: "security", Title: t("Vos comptes et vos preuves", "Your accounts and proofs"), Width: Wide,
			Body: Stack{
				Section{Title: t("Preuves", "Proofs"), Body: Rows{
					{Name: t("Mot de passe", "Password"), Icon: "key", Text: t("Changé le 2 septembre. N’expire pas.", "Changed on 2 September. Does not expire."), State: &State{Done, t("En place", "In place")}, Actions: []Button{{Text: t("Changer", "Change"), Href: "/security/password", About: t("le mot de passe", "the password")}}},
					{Name: t("Application d’authentification", "Authenticator app"), Icon: "device-mobile", Text: t("Téléphone de Camille, ajouté le 4 mars", "Camille’s telephone, added on 4 March"), State: &State{Locked, t("Exigée par votre profil", "Demanded by your profile")}, Note: t("Règle de la direction informatique : vous ne pouvez pas retirer la dernière.", "Rule of the IT department: you cannot remove the last one."), Actions: []Button{{Text: t("Tester", "Test"), Href: "/security/totp"}, {Text: t("Retirer", "Remove"), Kind: "stop", Post: "/security/totp/remove"}}},
				}},
				Section{Title: t("Où nous pouvons vous joindre", "Where we can reach you"), Body: Record{
					{Term: t("Adresse personnelle", "Personal address"), Value: Masked{Text: "c••••d@example.org", Spoken: t("adresse masquée, se termine par example.org", "masked address, ends in example.org"), Reveal: &Button{Text: t("Afficher", "Show"), Kind: "plain", Post: "/security/reveal", About: t("l’adresse personnelle", "the personal address")}}},
					{Term: t("Téléphone", "Telephone"), Text: "•• •• •• •• 42", Mono: true},
				}},
				Section{Title: t("Journal", "Activity"), Body: Timeline{
					{When: t("aujourd’hui, 14 h 20", "today, 14:20"), At: "2026-11-23T14:20:00+01:00", Title: t("Finances refusé depuis le portail mobile", "Finances refused from the mobile portal"), Text: t("Référence K7QP-3M9T", "Reference K7QP-3M9T"), Mark: Warn},
					{When: t("aujourd’hui, 14 h 18", "today, 14:18"), At: "2026-11-23T14:18:00+01:00", Title: t("Session ouverte", "Session opened"), Text: t("Portail mobile, téléphone reconnu", "Mobile portal, known telephone"), Mark: Done},
					{When: t("hier, 9 h 02", "yesterday, 9:02"), At: "2026-11-22T09:02:00+01:00", Title: t("Votre dossier a été consulté", "Your file was read"), By: t("Assistance informatique, appel 4821", "Support desk, call 4821"), Mark: Info},
				}},
			},
		},
		{
			Screen: "confirm", Title: t("Déclarer cet appareil perdu", "Declare this device lost"),
			Body: Stack{
				Confirm{
					Title: t("Ce qui va se passer", "What will happen"), Outcomes: []State{{Stop, t("Les 2 sessions ouvertes sur « Téléphone de Camille » se ferment tout de suite", "The 2 sessions open on “Camille’s telephone” end at once")}, {Stop, t("L’application d’authentification de ce téléphone ne servira plus", "The authenticator app of this telephone can no longer be used")}, {Done, t("Votre mot de passe ne change pas", "Your password does not change")}},
					Form: Form{Action: "/devices/lost", Body: Field{Name: "note", Label: t("Ce qui est arrivé", "What happened"), Type: "area"}, Buttons: []Button{{Text: t("Déclarer perdu", "Declare lost"), Kind: "stop"}, {Text: t("Garder l’appareil", "Keep the device"), Kind: "plain", Href: "/devices"}}},
				},
				Empty{Title: t("Aucun autre appareil", "No other device"), Text: t("Ceux que vous utilisez apparaîtront ici.", "Those you use will appear here."), Drawing: true, Action: &Button{Text: t("Mes applications", "My applications"), Href: "/"}},
			},
		},
		{
			Screen: "sessions", Title: t("Trois sessions sont ouvertes", "Three sessions are open"), Width: Wide,
			Body: Table{Caption: t("Sessions de votre compte agent", "Sessions of your agent account"), Columns: []Column{{Text: t("Entrée", "Entrance"), Sort: "?sort=channel", Sorted: "ascending"}, {Text: t("Appareil", "Device")}, {Text: t("Depuis", "Since")}, {Text: t("Pages", "Pages"), Number: true}, {Text: t("Agir", "Act")}}, Rows: [][]Cell{
				{{Text: t("Portail mobile", "Mobile portal"), Href: "/sessions/1"}, {Text: t("Téléphone de Camille", "Camille’s telephone")}, {Text: "14:18", Mono: true}, {Text: "12"}, {Value: State{Info, t("Celle-ci", "This one")}}},
				{{Text: t("Poste au bureau", "Office workstation"), Href: "/sessions/2"}, {Text: "PC-4471"}, {Text: "08:31", Mono: true}, {Text: "1 204"}, {Value: Button{Text: t("Fermer", "Close"), Kind: "plain", Post: "/sessions/2/end", About: "PC-4471"}}},
			}},
		},
	}
}
