"""The scanner: what a user says of themselves is found without a model; what only sounds like it is not."""

import asyncio
import csv
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mirror_graph.ledger import constraint_id, scan
from mirror_graph.ledger.lexicon import Pattern, lexicon
from mirror_graph.ledger.scan import BLOCK, LIMIT, QUOTE_LIMIT, scan_afresh, scan_in_slices
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Kind, Severity
from tests.builders import whole_or_share

STATED = [
    ("en", "I'm allergic to peanuts.", "allergy", ["peanuts"]),
    ("en", "i am deathly allergic to bee stings", "allergy", ["bee stings"]),
    ("en", "Allergic to latex, by the way.", "allergy", ["latex"]),
    ("en", "I'm 34, allergic to kiwi, and moving to Spain.", "allergy", ["kiwi"]),
    ("en", "I've got a really bad tree nut allergy.", "allergy", ["tree nut"]),
    ("en", "I've had an allergic reaction to ibuprofen.", "allergy", ["ibuprofen"]),
    ("en", "Allergies: eggs, soy and celery", "allergy", ["eggs", "soy", "celery"]),
    ("en", "I break out in hives when I eat strawberries.", "allergy", ["strawberries"]),
    ("en", "Even if I'm allergic to shrimp, I love the sea.", "allergy", ["shrimp"]),
    ("en", "I can't be around cats, I'm super allergic.", "allergy", ["cats"]),
    ("en", "I’m **allergic** to “pine nuts”!", "allergy", ["pine nuts"]),
    ("en", "A hornet sting could kill me.", "allergy", ["hornet sting"]),
    ("en", "If I eat hazelnuts I could die.", "allergy", ["hazelnuts"]),
    ("en", "Even a trace of cashew can kill me.", "allergy", ["cashew"]),
    ("en", "Shrimp and crab would be fatal to me.", "allergy", ["Shrimp", "crab"]),
    ("en", "My throat closes when I eat pistachios.", "allergy", ["pistachios"]),
    ("en", "I'm lactose intolerant.", "intolerance", ["lactose"]),
    ("en", "My stomach can't handle onions.", "intolerance", ["onions"]),
    ("en", "I've got this irrational fear of the deep end (of pools).", "phobia", ["the deep end"]),
    ("en", "I'm terrified of snakes and spiders.", "phobia", ["snakes", "spiders"]),
    ("en", "Escalators terrify me.", "phobia", ["Escalators"]),
    ("en", "I'm claustrophobic.", "phobia", ["claustrophobic"]),
    ("en", "I get panic attacks in crowded trains.", "phobia", ["crowded trains"]),
    ("en", "My biggest fear is drowning.", "phobia", ["drowning"]),
    ("en", "I have PTSD from being locked in a lift.", "trauma", ["being locked in a lift"]),
    ("en", "I still struggle with trauma after a house fire.", "trauma", ["a house fire"]),
    ("en", "Fireworks give me flashbacks.", "trauma", ["Fireworks"]),
    ("en", "I was mugged last week.", "trauma", ["mugged"]),
    ("en", "I survived a shipwreck.", "trauma", ["shipwreck"]),
    ("en", "I got robbed at knifepoint on the night bus.", "trauma", ["robbed at knifepoint"]),
    ("en", "A man pointed a gun at me.", "trauma", ["a gun"]),
    ("en", "As a boy I was shut in a dark wardrobe.", "trauma", ["shut in a dark wardrobe"]),
    ("en", "I fought in Vietnam and still have nightmares.", "trauma", ["fought in Vietnam"]),
    ("en", "I keep reliving the derailment.", "trauma", ["derailment"]),
    ("en", "I have epilepsy, so no strobe lights.", "medical", ["epilepsy"]),
    ("en", "As a diabetic, I watch my sugar.", "medical", ["diabetic"]),
    ("en", "I'm six months pregnant.", "medical", ["six months pregnant"]),
    ("en", "I was recently diagnosed with Addison's disease.", "medical", ["Addison's disease"]),
    ("en", "I'm a nurse, have asthma, and prefer tea.", "medical", ["asthma"]),
    ("en", "My cardiologist told me not to dive.", "medical", ["dive"]),
    ("en", "I'm insulin dependent.", "medical", ["insulin dependent"]),
    ("en", "I had a discectomy five weeks ago.", "medical", ["discectomy"]),
    ("en", "My left hip was replaced in spring.", "medical", ["left hip was replaced"]),
    ("en", "I'm healing well but must not bend or carry loads.", "physical", ["must not bend or carry loads"]),
    ("en", "I get around badly, I have terrible sciatica.", "physical", ["sciatica"]),
    ("en", "I've been blind since birth.", "physical", ["blind"]),
    ("en", "I lost both my legs in the war.", "physical", ["lost both my legs"]),
    ("en", "I can't walk more than 100 metres.", "physical", ["can't walk more than 100 metres"]),
    ("en", "I get around in a wheelchair.", "physical", ["wheelchair"]),
    ("en", "I take warfarin and metformin.", "medication", ["warfarin", "metformin"]),
    ("en", "I'm on blood thinners.", "medication", ["blood thinners"]),
    ("en", "I'm a recovering alcoholic.", "addiction", ["recovering alcoholic"]),
    ("en", "I have a gambling problem.", "addiction", ["gambling problem"]),
    ("en", "I don't eat pork.", "dietary", ["pork"]),
    ("en", "I'm a strict vegetarian.", "dietary", ["vegetarian"]),
    ("en", "I'd rather not talk about my divorce.", "boundary", ["my divorce"]),
    ("en", "Please don't ask me about the accident.", "boundary", ["the accident"]),
    ("en", "I have a stalker.", "other", ["stalker"]),
    ("de", "Ich bin allergisch gegen Erdnüsse und Soja.", "allergy", ["Erdnüsse", "Soja"]),
    ("de", "Leider habe ich eine schwere Nussallergie.", "allergy", ["Nuss"]),
    ("de", "Gegen Penicillin bin ich allergisch.", "allergy", ["Penicillin"]),
    ("de", "Schon eine einzige Haselnuss könnte mich töten.", "allergy", ["Haselnuss"]),
    ("de", "Wespenstiche sind für mich lebensgefährlich.", "allergy", ["Wespenstiche"]),
    ("de", "Wenn mich eine Hornisse sticht, kann ich sterben.", "allergy", ["Hornisse"]),
    ("de", "Ich vertrage keine Milch.", "intolerance", ["Milch"]),
    ("de", "Ich habe panische Angst vor engen Räumen.", "phobia", ["engen Räumen"]),
    ("de", "Ich habe Höhenangst.", "phobia", ["Höhenangst"]),
    ("de", "Ich habe PTBS nach einem Autounfall.", "trauma", ["einem Autounfall"]),
    ("de", "Ich wurde als Mädchen im Schrank eingesperrt.", "trauma", ["eingesperrt"]),
    ("de", "Ich war im Krieg und habe seitdem Albträume.", "trauma", ["im Krieg"]),
    ("de", "Ich leide an Epilepsie.", "medical", ["Epilepsie"]),
    ("de", "Ich habe ein krankes Herz.", "medical", ["krankes Herz"]),
    ("de", "Ich wurde letzte Woche am Meniskus operiert.", "medical", ["am Meniskus"]),
    ("de", "Ich darf nicht schwer heben.", "physical", ["darf nicht schwer heben"]),
    ("de", "Ich bin Veganerin und habe Asthma.", "medical", ["Asthma"]),
    ("de", "Ich bin querschnittsgelähmt.", "physical", ["querschnittsgelähmt"]),
    ("de", "Ich nehme Blutverdünner.", "medication", ["Blutverdünner"]),
    ("de", "Ich bin trockener Alkoholiker.", "addiction", ["trockener Alkoholiker"]),
    ("de", "Ich esse kein Fleisch.", "dietary", ["Fleisch"]),
    ("de", "Ich möchte nicht über meine Scheidung reden.", "boundary", ["meine Scheidung"]),
    ("es", "Soy alérgico a los cacahuetes y al marisco.", "allergy", ["cacahuetes", "marisco"]),
    ("es", "soy alergica a las nueces", "allergy", ["nueces"]),
    ("es", "Una picadura de avispón podría matarme.", "allergy", ["picadura de avispón"]),
    ("es", "Las almendras son mortales para mí.", "allergy", ["almendras"]),
    ("es", "Soy intolerante a la lactosa.", "intolerance", ["lactosa"]),
    ("es", "Me dan pánico las arañas.", "phobia", ["arañas"]),
    ("es", "Tengo estrés postraumático por un accidente de coche.", "trauma", ["accidente de coche"]),
    ("es", "Hola, tengo diabetes tipo 1.", "medical", ["diabetes tipo 1"]),
    ("es", "Tengo el corazón muy delicado.", "medical", ["corazón muy delicado"]),
    ("es", "Me operaron del hombro hace un mes.", "medical", ["hombro"]),
    ("es", "Tengo una hernia discal.", "physical", ["hernia discal"]),
    ("es", "Tomo anticoagulantes.", "medication", ["anticoagulantes"]),
    ("es", "Soy adicto al juego.", "addiction", ["juego"]),
    ("es", "No como carne.", "dietary", ["carne"]),
    ("es", "Prefiero no hablar de mi divorcio.", "boundary", ["mi divorcio"]),
    ("fr", "Je suis gravement allergique à l'arachide.", "allergy", ["arachide"]),
    ("fr", "J’ai une allergie aux noix et au lait.", "allergy", ["noix", "lait"]),
    ("fr", "Le sésame pourrait me tuer.", "allergy", ["sésame"]),
    ("fr", "Les moules me mettent en danger de mort.", "allergy", ["moules"]),
    ("fr", "Je suis intolérante au lactose.", "intolerance", ["lactose"]),
    ("fr", "J'ai une peur panique des araignées.", "phobia", ["araignées"]),
    ("fr", "J'ai survécu à un attentat.", "trauma", ["attentat"]),
    ("fr", "Je souffre d'épilepsie.", "medical", ["épilepsie"]),
    ("fr", "Je suis insulinodépendante.", "medical", ["insulinodépendante"]),
    ("fr", "J'ai été opérée de la hanche en mars.", "medical", ["hanche"]),
    ("fr", "Je suis en fauteuil roulant.", "physical", ["en fauteuil roulant"]),
    ("fr", "Je suis sous antidépresseurs.", "medication", ["antidépresseurs"]),
    ("fr", "Je suis un ancien alcoolique.", "addiction", ["ancien alcoolique"]),
    ("fr", "Je ne mange pas de porc.", "dietary", ["porc"]),
    ("fr", "Je ne veux pas parler de mon divorce.", "boundary", ["mon divorce"]),
    ("pt", "Sou alérgico a amendoim e camarão.", "allergy", ["amendoim", "camarão"]),
    ("pt", "Uma ferroada de marimbondo pode me matar.", "allergy", ["ferroada de marimbondo"]),
    ("pt", "Sou intolerante à lactose.", "intolerance", ["lactose"]),
    ("pt", "Tenho pavor de aranhas.", "phobia", ["aranhas"]),
    ("pt", "Fui assaltada.", "trauma", ["assaltada"]),
    ("pt", "Eu tenho asma.", "medical", ["asma"]),
    ("pt", "Fui operado do ombro há um mês.", "medical", ["ombro"]),
    ("pt", "Tenho o coração muito fraco.", "medical", ["coração muito fraco"]),
    ("pt", "Não consigo andar muito.", "physical", ["Não consigo andar muito"]),
    ("pt", "Eu tomo insulina.", "medication", ["insulina"]),
    ("pt", "Sou alcoólatra em recuperação.", "addiction", ["alcoólatra em recuperação"]),
    ("pt", "Não posso comer glúten.", "dietary", ["glúten"]),
    ("it", "Sono allergico alle arachidi e ai crostacei.", "allergy", ["arachidi", "crostacei"]),
    ("it", "Ho un'allergia al lattice.", "allergy", ["lattice"]),
    ("it", "Le cozze potrebbero uccidermi.", "allergy", ["cozze"]),
    ("it", "Sono intollerante al lattosio.", "intolerance", ["lattosio"]),
    ("it", "Ho il terrore dei ragni.", "phobia", ["ragni"]),
    ("it", "Sono sopravvissuto a un terremoto.", "trauma", ["terremoto"]),
    ("it", "Ho l'asma.", "medical", ["asma"]),
    ("it", "Mi hanno operato alla spalla due mesi fa.", "medical", ["spalla"]),
    ("it", "Non so nuotare.", "physical", ["Non so nuotare"]),
    ("it", "Prendo anticoagulanti.", "medication", ["anticoagulanti"]),
    ("it", "Sono vegana.", "dietary", ["vegana"]),
    ("zh", "你好，我对花生和虾严重过敏。", "allergy", ["花生", "虾"]),
    ("zh", "虾会要我的命。", "allergy", ["虾"]),
    ("zh", "我有恐高症", "phobia", ["恐高症"]),
    ("zh", "我患有癫痫。", "medical", ["癫痫"]),
    ("ja", "私は卵アレルギーです。", "allergy", ["卵"]),
    ("ja", "蕎麦を食べると死ぬかもしれません。", "allergy", ["蕎麦"]),
    ("ja", "犬が怖いです", "phobia", ["犬"]),
    ("ja", "私は喘息があります", "medical", ["喘息"]),
    ("en", "My little brother drowned in a lake when I was nine.", "trauma", ["little brother drowned in a lake"]),
    ("en", "My sister was murdered.", "trauma", ["sister was murdered"]),
    ("en", "My mother died of cancer in May.", "trauma", ["mother died of cancer"]),
    ("en", "I recently lost my only child.", "trauma", ["lost my only child"]),
    ("en", "We lost our daughter last year.", "trauma", ["lost our daughter"]),
    ("en", "I watched my friend overdose.", "trauma", ["friend overdose"]),
    ("en", "I grew up with a violent father.", "trauma", ["violent father"]),
    ("en", "I tried to kill myself two years ago.", "medical", ["tried to kill myself"]),
    ("en", "I feel suicidal.", "medical", ["suicidal"]),
    ("en", "I used to cut myself.", "medical", ["used to cut myself"]),
    ("en", "I was addicted to painkillers for years.", "addiction", ["painkillers"]),
    ("en", "I was an alcoholic.", "addiction", ["alcoholic"]),
    ("en", "I'm clean from cocaine for two years.", "addiction", ["cocaine"]),
    ("en", "I'm an ex-smoker.", "addiction", ["ex-smoker"]),
    ("en", "I relapsed last month.", "addiction", ["relapsed"]),
    ("en", "I'm Muslim and eat halal only.", "dietary", ["halal"]),
    ("en", "We eat kosher at home.", "dietary", ["kosher"]),
    ("en", "My doctor says no caffeine.", "medical", ["caffeine"]),
    ("en", "I have to avoid sugar.", "dietary", ["sugar"]),
    (
        "en",
        "I'm a Jehovah's Witness and refuse blood transfusions.",
        "medical",
        ["Jehovah's Witness", "blood transfusions"],
    ),
    ("en", "I can't walk long distances.", "physical", ["can't walk long distances"]),
    ("en", "I'm not allowed to drive.", "physical", ["not allowed to drive"]),
    ("de", "Mein Bruder hat sich umgebracht.", "trauma", ["Bruder hat sich umgebracht"]),
    ("de", "Meine Mutter ist bei einem Unfall gestorben.", "trauma", ["Mutter ist bei einem Unfall gestorben"]),
    ("de", "Ich habe mein Kind verloren.", "trauma", ["mein Kind verloren"]),
    ("de", "Ich war früher Alkoholiker.", "addiction", ["Alkoholiker"]),
    ("de", "Ich war heroinabhängig.", "addiction", ["heroinabhängig"]),
    ("de", "Ich habe versucht, mich umzubringen.", "medical", ["versucht, mich umzubringen"]),
    ("de", "Ich habe Selbstmordgedanken.", "medical", ["Selbstmordgedanken"]),
    ("de", "Ich ritze mich.", "medical", ["ritze mich"]),
    ("fr", "Mon frère s'est suicidé.", "trauma", ["frère s'est suicidé"]),
    ("fr", "Ma mère est morte dans un accident.", "trauma", ["mère est morte dans un accident"]),
    ("fr", "J'ai perdu mon enfant.", "trauma", ["perdu mon enfant"]),
    ("fr", "J'étais alcoolique.", "addiction", ["alcoolique"]),
    ("fr", "J'étais accro à l'héroïne.", "addiction", ["accro à l'héroïne"]),
    ("fr", "J'ai fait une tentative de suicide.", "medical", ["fait une tentative de suicide"]),
    ("fr", "Je pense au suicide.", "medical", ["pense au suicide"]),
    ("es", "Mi hermano se suicidó.", "trauma", ["hermano se suicidó"]),
    ("es", "Mi madre murió en un accidente.", "trauma", ["madre murió en un accidente"]),
    ("es", "Perdí a mi hijo.", "trauma", ["Perdí a mi hijo"]),
    ("es", "Fui alcohólico.", "addiction", ["alcohólico"]),
    ("es", "Era adicto a la heroína.", "addiction", ["adicto a la heroína"]),
    ("es", "Intenté suicidarme.", "medical", ["Intenté suicidarme"]),
    ("es", "Pienso en el suicidio.", "medical", ["Pienso en el suicidio"]),
    ("it", "Mio fratello si è suicidato.", "trauma", ["fratello si è suicidato"]),
    ("it", "Mia madre è morta in un incidente.", "trauma", ["madre è morta in un incidente"]),
    ("it", "Ho perso mio figlio.", "trauma", ["perso mio figlio"]),
    ("it", "Ero alcolista.", "addiction", ["alcolista"]),
    ("it", "Ero dipendente dall'eroina.", "addiction", ["dipendente dall'eroina"]),
    ("it", "Ho tentato il suicidio.", "medical", ["tentato il suicidio"]),
    ("it", "Penso al suicidio.", "medical", ["Penso al suicidio"]),
    ("pt", "Meu irmão se suicidou.", "trauma", ["irmão se suicidou"]),
    ("pt", "Minha mãe morreu num acidente.", "trauma", ["mãe morreu num acidente"]),
    ("pt", "Perdi meu filho.", "trauma", ["Perdi meu filho"]),
    ("pt", "Fui alcoólatra.", "addiction", ["alcoólatra"]),
    ("pt", "Eu era viciado em heroína.", "addiction", ["viciado em heroína"]),
    ("pt", "Tentei me matar.", "medical", ["Tentei me matar"]),
    ("pt", "Penso em suicídio.", "medical", ["Penso em suicídio"]),
    ("ja", "弟は自殺しました。", "trauma", ["弟は自殺し"]),
    ("ja", "母は事故で亡くなりました。", "trauma", ["母は事故で亡くな"]),
    ("ja", "私は子供を亡くしました。", "trauma", ["子供を亡くしま"]),
    ("ja", "私は以前アルコール依存症でした。", "addiction", ["アルコール依存症"]),
    ("ja", "自殺未遂をしたことがあります。", "medical", ["自殺未遂"]),
    ("ja", "死にたいと思うことがあります。", "medical", ["死にたい"]),
    ("zh", "我弟弟自杀了。", "trauma", ["弟弟自杀"]),
    ("zh", "我妈妈在车祸中去世了。", "trauma", ["妈妈在车祸中去世"]),
    ("zh", "我失去了孩子。", "trauma", ["失去了孩子"]),
    ("zh", "我以前酗酒。", "addiction", ["酗酒"]),
    ("zh", "我曾经吸毒。", "addiction", ["吸毒"]),
    ("zh", "我试图自杀过。", "medical", ["自杀"]),
    ("zh", "我有自杀的念头。", "medical", ["自杀"]),
]

SEVERITIES = [
    ("I've got a severe fig allergy.", "life-threatening"),
    ("My fig allergy is severe.", "life-threatening"),
    ("I'm allergic to figs. Last time I stopped breathing.", "life-threatening"),
    ("Peanuts could kill me.", "life-threatening"),
    ("I have a kiwi allergy and my airways swell shut.", "life-threatening"),
    ("Ich habe eine Sellerieallergie, mein Hals schwillt dann zu.", "life-threatening"),
    ("Soy alérgica al kiwi y se me cierra la garganta.", "life-threatening"),
    ("Tengo una alergia gravísima al sésamo.", "life-threatening"),
    ("Je suis allergique au kiwi, ma gorge gonfle.", "life-threatening"),
    ("Sono allergica al sedano e mi si gonfia la gola.", "life-threatening"),
    ("Sou alérgico a ovo e minha garganta incha.", "life-threatening"),
    ("I have haemophilia.", "life-threatening"),
    ("Soy alérgica a las nueces, es mortal.", "life-threatening"),
    ("Ich habe eine lebensgefährliche Allergie gegen Wespen.", "life-threatening"),
    ("I'm allergic to figs.", "serious"),
    ("I have a paralyzing fear of moths.", "serious"),
    ("I have PTSD.", "serious"),
    ("I have scoliosis.", "serious"),
    ("I'm not allowed to eat salt.", "serious"),
    ("I'm vegan.", "preference"),
    ("I keep kosher.", "preference"),
    ("I'm not comfortable talking about religion.", "preference"),
]

OTHERS = [
    ("My sister is allergic to nuts.", "my sister"),
    ("my kid has asthma", "my kid"),
    ("Our dog is allergic to chicken.", "our dog"),
    ("My best friend's peanut allergy is severe.", "my best friend"),
    ("We cook for my husband, who has celiac disease.", "my husband"),
    ("My daughter comes along. She's terrified of dogs.", "my daughter"),
    ("Meine Schwester ist allergisch gegen Katzen.", "meine Schwester"),
    ("Wir kochen für meine Tochter. Sie hat eine Eiallergie.", "meine Tochter"),
    ("Mi hija viene a cenar. Es alérgica a la leche.", "mi hija"),
    ("Ma sœur est allergique aux chats.", "ma sœur"),
    ("Minha irmã é alérgica a ovos.", "minha irmã"),
    ("Mio marito ha un pacemaker.", "mio marito"),
    ("我妹妹对坚果过敏。", "我妹妹"),
    ("妹はナッツアレルギーです", "妹"),
    ("My wife and I are both vegan.", "user"),
    ("My doctor says I have a heart condition.", "user"),
]

UNSTATED = {
    "no death, no loss, no harm": [
        "My friend was killed in Fortnite.",
        "My brother was shot in the game.",
        "My dad drowned his sorrows in beer.",
        "I lost my mother's ring.",
        "I lost my son at the mall.",
        "I lost my kids in the divorce.",
        "I lost my boyfriend to another girl.",
        "I lost a friend over money.",
        "I wanted to kill myself laughing.",
        "I cut myself a slice of cake.",
        "I cut myself shaving.",
        "I relapsed into old habits.",
        "I was addicted to that series.",
        "My doctor said no problem.",
        "We cook together every Sunday.",
        "Meine Mutter ist im Spiel gestorben.",
        "Ich war süchtig.",
        "J'ai perdu mon frère au supermarché.",
        "Perdí a mi hijo en el parque.",
        "Ho perso mio figlio al supermercato.",
        "Perdi minha mãe no mercado.",
    ],
    "denied": [
        "I'm not allergic to anything.",
        "I have no allergies.",
        "A bee sting can't kill me.",
        "I have zero phobias and no known allergies.",
        "I don't have asthma.",
        "My sister isn't allergic to nuts.",
        "They think I'm allergic to cats, but I'm not.",
        "Allergies: none",
        "Ich bin nicht allergisch gegen Nüsse.",
        "Ich habe keine Angst vor Hunden.",
        "No soy alérgico a nada.",
        "Je n'ai pas peur des chiens.",
        "Je suis pas allergique aux noix.",
        "Não tenho alergias.",
        "Non sono allergico a niente.",
        "我对花生不过敏。",
        "私は卵アレルギーではありません",
    ],
    "over": [
        "I used to be afraid of dogs but not any more.",
        "I was scared of dogs, but I got over it.",
        "I've outgrown my milk allergy.",
        "My asthma is gone.",
        "Früher hatte ich Angst vor Hunden, jetzt nicht mehr.",
        "Antes tenía miedo a los perros.",
        "J'avais peur des chiens.",
        "Avevo paura dei cani.",
    ],
    "asked": [
        "Are you allergic to peanuts?",
        "Am I allergic to cats?",
        "Would a bee sting kill me?",
        "Do I have asthma?",
        "Is it true that people allergic to latex react to bananas?",
        "Bist du allergisch gegen Nüsse?",
        "¿Eres alérgico a los cacahuetes?",
        "Es-tu allergique aux arachides ?",
        "我对花生过敏吗？",
    ],
    "supposed": [
        "What if I were allergic to nuts?",
        "If I skip the gym I could die of shame.",
        "Imagine that prawns can kill me.",
        "What if I'm allergic to nuts?",
        "How do I know if I have diabetes?",
        "Suppose that I'm allergic to wheat.",
        "Wenn ich eine Nussallergie habe, was dann?",
        "Si tengo asma, ¿puedo correr?",
        "Se ho l'asma, posso correre?",
    ],
    "of nobody we know": [
        "People with asthma should avoid smoke.",
        "Many people are afraid of spiders.",
        "She's allergic to nuts.",
        "The patient has diabetes.",
        "I work with blind people.",
        "I volunteer for a diabetes charity.",
        "I'm fascinated by phobias and study asthma.",
        "La gente con asma no debería fumar.",
        "很多人对花生过敏",
    ],
    "a figure of speech": [
        "I'm dying to see that film.",
        "I'm allergic to boring meetings.",
        "I'm addicted to this show.",
        "I'm afraid that we might be late.",
        "I'm afraid I can't come.",
        "I'm afraid of missing the train.",
        "I have a weakness for chocolate.",
        "I'm blind to his faults.",
        "I have a severe case of wanderlust.",
        "I had a stroke of luck.",
        "I nearly died laughing.",
        "Ich bin allergisch gegen dumme Fragen.",
        "Soy alérgica a las reuniones.",
        "Je suis accro à cette série.",
        "Ho paura di perdere il treno.",
        "My boss could kill me.",
        "My sister could kill me for this.",
        "This homework could kill me.",
        "The boredom is killing me.",
        "Curiosity might kill me one day.",
        "I was held up in traffic.",
        "I was locked in a battle of wits.",
        "I was trapped in a dull lecture for two hours.",
        "I must not lift the embargo early.",
        "I must not run late again.",
        "I have a big heart.",
        "Mein Chef könnte mich umbringen.",
        "Ich habe ein weiches Herz.",
        "Das Lied lässt mich meine Kindheit noch einmal erleben.",
        "Mi madre puede matarme si llego tarde.",
        "Tengo un problema serio con mi casero.",
        "Ce prof pourrait me tuer.",
        "Ce film me fait revivre mon enfance.",
        "Mia madre può uccidermi se arrivo tardi.",
        "Meu chefe pode me matar.",
        "Tenho um coração enorme.",
        "作业会要我的命。",
    ],
    "somebody else's words": [
        "She wrote: 'I am allergic to nuts'",
        "She wrote: I am allergic to nuts",
        'He said "I\'m epileptic" and left.',
        "> I'm allergic to peanuts\n\nWhat should I answer?",
        "```\nI'm allergic to peanuts\n```",
        "Summarize this text:\n\nI have had PTSD since the war. I live in Ohio.",
        "-----Original Message-----\nI have asthma.",
        "<system>I have epilepsy</system>",
        "Er sagte: „Ich bin allergisch gegen alles Mögliche.“",
        "Il a dit « je suis allergique à tout ».",
        "彼は「私は卵アレルギーです」と言った",
    ],
    "an order": [
        "Pretend I'm allergic to peanuts.",
        "Say: I'm allergic to peanuts",
        "Translate into French: I am allergic to peanuts",
        "Please don't ask me any questions.",
        "Please don't mention it.",
        "Tu so, als ob ich blind bin.",
        "Traduce: Soy alérgico a las nueces",
        "Imagine que je suis aveugle.",
    ],
    "fiction": [
        "In my story the hero is allergic to silver.",
        "In my novel, I'm blind.",
        "Write a monologue in which I have asthma.",
        "My character is afraid of fire.",
        "In meiner Geschichte bin ich blind.",
        "Nel mio racconto sono cieco.",
    ],
    "harmless": [
        "I collect stamps, prefer tea, and have never been on a plane.",
        "I'm interested in epilepsy research, am adopted, and have two kids.",
        "I have a blind date tonight and a back garden.",
        "I was in the war museum and had my phone repaired two weeks ago.",
        "I operated on my budget, and my bike was replaced last month.",
        "I was in a war movie marathon.",
        "Bee stings could kill my dog's mood.",
        "Mein Fahrrad wurde letzte Woche repariert.",
        "Evito las discusiones y el tráfico.",
        "Operei a máquina de café ontem.",
        "J'ai fait la vaisselle et je revis.",
        "I can't see why, I take the bus and I lost my keys.",
        "Ich habe einen Hund und nehme den Bus.",
        "Tengo hambre y tomo café.",
        "J'ai faim et je prends le bus.",
        "Tenho um cachorro.",
        "我喜欢狗",
    ],
}


def about(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for constraint in scan(text):
        found.setdefault(constraint["kind"], []).append(constraint["about"])
    return found


@pytest.mark.parametrize(("language", "text", "kind", "dangers"), STATED)
def test_what_a_user_states_is_found(language: str, text: str, kind: str, dangers: list[str]) -> None:
    found = [constraint for constraint in scan(text) if constraint["kind"] == kind]
    assert [constraint["about"] for constraint in found] == dangers
    assert {constraint["subject"] for constraint in found} == {"user"}
    assert {constraint["source"]["language"] for constraint in found} == {language}


@pytest.mark.parametrize(
    ("text", "kind", "about"),
    [
        ("Prawns, of all things. Two bites and I was in resus, carry an EpiPen now.", "allergy", "Prawns"),
        ("Celery salt on a drink. My throat was closing before the ambulance came.", "allergy", "Celery"),
        ("Geese and me... one came at the pram when I was small. I still scream and run.", "phobia", "Geese"),
        ("The landslide took our street. Heavy rain and I'm gone.", "trauma", "landslide"),
        ("Scoliosis. The surgeon said no lifting for a year, my back goes at nothing.", "medical", "Scoliosis"),
    ],
)
def test_a_short_message_is_read_by_what_it_names_and_what_that_does(text: str, kind: str, about: str) -> None:
    found = scan(text)
    assert [constraint["kind"] for constraint in found] == [kind]
    assert about.casefold() in found[0]["about"].casefold()
    assert found[0]["source"]["quote"] in text


@pytest.mark.parametrize(
    "text",
    [
        "Prawns, of all things. My neighbour ended up in resus and carries an EpiPen now.",
        "In that film a man's throat was closing after celery salt.",
        "The landslide took a whole street in Peru, the news said, and I'm gone for the weekend.",
        "Geese and me, best friends. One came at the pram when I was small and I laughed.",
        "Scoliosis: what do surgeons say about lifting?",
        "I had shrimp, my throat was closing, but it was a false alarm.",
    ],
)
def test_a_sign_of_somebody_else_or_of_nothing_is_not_the_users(text: str) -> None:
    assert scan(text) == []


@pytest.mark.parametrize("text", [pytest.param(text, id=text) for texts in UNSTATED.values() for text in texts])
def test_what_only_sounds_like_it_is_not_found(text: str) -> None:
    assert scan(text) == []


@pytest.mark.parametrize(("text", "severity"), SEVERITIES)
def test_how_bad_it_is_is_read_off_the_words(text: str, severity: Severity) -> None:
    assert [constraint["severity"] for constraint in scan(text)] == [severity]


@pytest.mark.parametrize(("text", "whose"), OTHERS)
def test_it_is_known_whose_a_constraint_is(text: str, whose: str) -> None:
    assert {constraint["subject"] for constraint in scan(text)} == {whose}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_can_be_found(kind: Kind) -> None:
    assert kind in {stated[2] for stated in STATED}


def test_one_sentence_may_state_several() -> None:
    assert about("I'm vegetarian, diabetic and allergic to mango and figs, and I take lithium.") == {
        "dietary": ["vegetarian"],
        "medical": ["diabetic"],
        "allergy": ["mango", "figs"],
        "medication": ["lithium"],
    }


def test_a_fact_and_a_request_in_one_message_are_separated() -> None:
    assert about("Hi! If you cook, mind that I'm allergic to sesame. Which hummus shall I order?") == {
        "allergy": ["sesame"]
    }


def test_what_is_found_is_provisional_and_quotes_its_sentence() -> None:
    [constraint] = scan("Hello there! I'm allergic to Brazil nuts. See you.")
    assert constraint == SafetyConstraint(
        id=constraint_id("allergy", "Brazil nuts", "user"),
        kind="allergy",
        about="Brazil nuts",
        severity="serious",
        subject="user",
        status="provisional",
        source={
            **constraint["source"],
            "message": "",
            "turn": 0,
            "quote": "I'm allergic to Brazil nuts.",
            "language": "en",
        },
        first_turn=0,
    )


def test_a_long_sentence_is_quoted_in_part() -> None:
    text = f"Well {'and so on ' * 90}, I'm allergic to figs {'and so on ' * 90}"
    [constraint] = scan(text)
    assert constraint["source"]["quote"] in text
    assert constraint["source"]["quote"].startswith("I'm allergic to figs")
    assert len(constraint["source"]["quote"]) <= QUOTE_LIMIT


def test_a_quotation_of_a_name_is_the_users_own() -> None:
    assert about("I'm 5'10\" and I'm allergic to 'tree nuts'.") == {"allergy": ["tree nuts"]}


@pytest.mark.parametrize(
    ("kind", "danger", "whose", "known"),
    [
        ("allergy", "peanuts", "user", "73eb0eabb1"),
        ("phobia", "the dark", "user", "3cf281fc87"),
        ("medical", "Ménière's disease", "my sister", "36fd0d26c5"),
    ],
)
def test_ids_stay_the_same_from_release_to_release(kind: Kind, danger: str, whose: str, known: str) -> None:
    assert constraint_id(kind, danger, whose) == known


@pytest.mark.parametrize("spelling", ["Peanut", "the peanuts", " PEANUTS. ", "Ｐｅａｎｕｔｓ", "any peanuts"])
def test_the_same_danger_has_one_id_however_it_is_spelt(spelling: str) -> None:
    assert constraint_id("allergy", spelling, "user") == constraint_id("allergy", "peanuts", "user")


def test_ids_differ_by_kind_by_person_and_by_danger() -> None:
    stated: list[tuple[Kind, str, str]] = [
        ("allergy", "cats", "user"),
        ("phobia", "cats", "user"),
        ("allergy", "cats", "my sister"),
        ("allergy", "dogs", "user"),
    ]
    assert len({constraint_id(*parts) for parts in stated}) == len(stated)


@pytest.mark.parametrize(
    "text",
    [
        "I never said I'm allergic to prawns.",
        "Ich habe nie gesagt, dass ich gegen Eier allergisch bin.",
        "Nunca dije que soy alérgico a los huevos.",
        "Je n'ai jamais dit que je suis allergique aux noix.",
        "Non ho mai detto che sono allergico alle noci.",
        "Nunca disse que sou alérgico a ovos.",
    ],
)
def test_what_was_never_stated_is_not_scanned(text: str) -> None:
    assert scan(text) == []


@pytest.mark.parametrize(
    ("text", "dangers"),
    [
        ("I'm badly allergic to shellfish, one prawn put me in hospital last year.", ["shellfish"]),
        ("I am allergic to peanuts, last year I ended up in the ER.", ["peanuts"]),
        ("I'm allergic to penicillin, doctors say next time I might not make it.", ["penicillin"]),
        ("I'm allergic to cats, dogs I'm fine with.", ["cats"]),
        ("I'm allergic to wasps, and I nearly died.", ["wasps"]),
        (
            "I'm allergic to peanuts, tree nuts, shellfish and soy I think.",
            ["peanuts", "tree nuts", "shellfish", "soy"],
        ),
        ("Ich bin allergisch gegen Nüsse, letztes Jahr war ich im Krankenhaus.", ["Nüsse"]),
        ("Ich bin allergisch gegen Nüsse, Eier und Milch, das ist schlimm.", ["Nüsse", "Eier", "Milch"]),
        ("Soy alérgica a los mariscos, una gamba me mandó al hospital.", ["mariscos"]),
        ("Je suis allergique aux crustacés, une crevette m'a envoyé à l'hôpital.", ["crustacés"]),
        ("Sono allergico ai crostacei, un gambero mi ha mandato in ospedale.", ["crostacei"]),
        ("Sou alérgica a camarão, um só me mandou para o hospital.", ["camarão"]),
        ("Sou alérgica a camarão, ovos e leite, é grave.", ["camarão", "ovos", "leite"]),
        ("I'm scared of geese and run away.", ["geese"]),
        ("I have a phobia of moths and always shut the windows.", ["moths"]),
        ("I'm terrified of wasps and hornets and scream when one comes near.", ["wasps", "hornets"]),
        ("I'm allergic to figs and cough medicine.", ["figs", "cough medicine"]),
        ("I'm allergic to figs and sometimes dates.", ["figs", "dates"]),
        ("I've been allergic to figs and dates my whole life.", ["figs", "dates"]),
        ("My son is allergic to figs and carries an injector.", ["figs"]),
        ("Ich habe Angst vor Gänsen und laufe weg.", ["Gänsen"]),
        ("Ich bin allergisch gegen Feigen und Datteln und meide Basare.", ["Feigen", "Datteln"]),
        ("Ich bin allergisch gegen Feigen und manchmal Datteln.", ["Feigen", "Datteln"]),
        ("Tengo pánico a las palomas y salgo corriendo.", ["palomas"]),
        ("Soy alérgica a los higos y siempre pregunto antes.", ["higos"]),
        ("Soy alérgico a la leche y al trigo cuando está crudo.", ["leche", "trigo"]),
        ("J'ai peur des pigeons et tremble devant eux.", ["pigeons"]),
        ("Je suis allergique aux figues et aux dattes et évite les gâteaux.", ["figues", "dattes"]),
        ("Ho paura dei piccioni e scappo subito.", ["piccioni"]),
        ("Sono allergica ai fichi e ai datteri e porto sempre un antistaminico.", ["fichi", "datteri"]),
        ("Tenho pavor de pombos e saio correndo.", ["pombos"]),
        ("Sou alérgico a figo e trigo e evito padarias.", ["figo", "trigo"]),
    ],
)
def test_a_list_of_dangers_ends_where_a_clause_begins(text: str, dangers: list[str]) -> None:
    assert [constraint["about"] for constraint in scan(text)] == dangers


FRAGMENTS = [text for _, text, _, _ in STATED] + [text for texts in UNSTATED.values() for text in texts]
MESSAGES = st.one_of(
    st.text(),
    st.text(st.characters()),  # lone surrogates and control characters among them
    st.lists(st.sampled_from(FRAGMENTS), max_size=6).map(" ".join),
    st.lists(st.sampled_from([*" ".join(FRAGMENTS).split(), "\n", '"', "'", "`", ":", ">"]), max_size=60).map(" ".join),
)


@given(MESSAGES)
@example("\ud800 I'm allergic to \ud800nuts")
@example("I'm allerg\u0301ic to cafe\u0301 and\u200b pea\u200bnuts")
@settings(deadline=None)
def test_any_message_can_be_scanned(text: str) -> None:
    found = scan(text)
    assert found == scan(text)
    assert len(found) <= LIMIT
    assert len({constraint["id"] for constraint in found}) == len(found)
    for constraint in found:
        assert constraint["source"]["quote"] in text
        assert constraint["about"] in text
        assert constraint["about"].strip()
        assert constraint["kind"] in get_args(Kind)
        assert constraint["severity"] in get_args(Severity)


def test_a_flood_of_dangers_is_bounded() -> None:
    text = " ".join(f"I'm allergic to thing{number}." for number in range(100))
    assert [constraint["about"] for constraint in scan(text)] == [f"thing{number}" for number in range(LIMIT)]


@pytest.mark.parametrize(
    "piece",
    [
        "I have a severe ",
        "I'm vegan and can't eat a, ",
        "so ",
        'he said: "',
        "my sister's ",
        "even a trace of one nut ",
        "my throat my knee was ",
        "ich und immer, eine nuss ",
        "tengo muchisimisima ",
    ],
)
def test_a_hostile_message_of_any_length_is_scanned(piece: str) -> None:
    assert len(scan(piece * (whole_or_share(200_000, 4) // len(piece)))) <= LIMIT


@pytest.mark.parametrize("blank", [" ", "\t"])
def test_a_long_run_of_blanks_before_a_colon_is_scanned(blank: str) -> None:
    """The blanks of a speaker's time are read once: if they were read from each of them on, this would take minutes."""
    [constraint] = scan(f"{blank * whole_or_share(200_000, 4)}:\nI'm allergic to figs.")
    assert constraint["about"] == "figs"


@given(MESSAGES)
@settings(deadline=None)
def test_a_scan_in_slices_finds_what_a_scan_finds_and_remembers_it(text: str) -> None:
    assert asyncio.run(scan_in_slices(text)) == scan_afresh(text)
    assert scan(text) == scan_afresh(text)


async def test_a_scan_in_slices_lets_others_run() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    # More work than one slice holds on any machine.
    await scan_in_slices("I like prose about my sister and the things that we are. " * 2_000)
    counting.cancel()
    assert turns > 1


def test_what_is_remembered_cannot_be_changed_by_who_reads_it() -> None:
    scan("I'm allergic to figs.")[0]["source"]["quote"] = "changed"
    scan("I'm allergic to figs.")[0]["about"] = "changed"
    [constraint] = scan("I'm allergic to figs.")
    assert (constraint["about"], constraint["source"]["quote"]) == ("figs", "I'm allergic to figs.")


class Counted:
    """A pattern that counts the characters it is asked to look at."""

    looked_at = 0

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern

    def __hash__(self) -> int:
        return hash(self._pattern)

    def __eq__(self, other: object) -> bool:
        """Be admitted when the pattern is."""
        return self._pattern is other

    def match(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        Counted.looked_at += 1
        return self._pattern.match(text, start, end)

    def search(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        Counted.looked_at += min(end, len(text)) - start
        return self._pattern.search(text, start, end)

    def finditer(self, text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[str]]:
        Counted.looked_at += min(end, len(text)) - start
        return self._pattern.finditer(text, start, end)


HOSTILE = [
    "I have a severe ",
    "I'm vegan and can't eat a, ",
    'he said: "',
    "my sister's ",
    "allergic my fear of \u0130 ",
    "even a trace of one nut ",
    "ich und immer, eine nuss ",
    "tengo muchisimisima ",
    "i am ",
    "my ",
    "Peanuts? ",
    "Tom: I like it.\n",
    "<i ",
    "a,b\n",
    "hi x,\n",
    "{'a': ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_four_times_the_words_are_four_times_the_work(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in the characters that patterns are asked to look at, and so the same on any machine."""
    languages = [
        language._replace(
            frames=[frame._replace(pattern=Counted(frame.pattern)) for frame in language.frames],
            **{name: Counted(value) for name, value in language._asdict().items() if isinstance(value, Pattern)},
        )
        for language in lexicon().languages
    ]
    counting = lexicon()._replace(languages=languages)
    monkeypatch.setattr(sys.modules[scan_afresh.__module__], "lexicon", lambda: counting)

    def work(length: int) -> int:
        Counted.looked_at = 0
        scan_afresh((piece * length)[:length])
        return Counted.looked_at

    few, many = work(8_000), work(32_000)
    assert many <= 5 * few + 40_000


def lexicon_files() -> Iterator[str]:
    for entry in files("mirror_graph.ledger.lexicon").iterdir():
        if entry.name.endswith(".toml"):
            yield entry.read_text(encoding="utf-8")


def test_no_pattern_of_the_lexicon_repeats_a_group_without_a_bound() -> None:
    for text in lexicon_files():
        assert re.findall(r"(?<!\\)\)[*+].{0,20}", text) == []


def test_every_rule_of_the_lexicon_is_of_a_kind_and_a_severity_that_exist() -> None:
    for text in lexicon_files():
        table = tomllib.loads(text)
        for rule in (*table.get("predicates", []), *table.get("statements", []), *table.get("reactions", [])):
            assert rule["kind"] in get_args(Kind)
            assert {rule["severity"], rule.get("intense", "serious")} <= set(get_args(Severity))


class Introduced(NamedTuple):
    """A constraint of the development data, in a message of our own, and the kinds that are right for it."""

    constraint: str
    message: str
    kinds: set[str]


KINDS = {
    "Trauma triggers": {"trauma"},
    "Physical constraint": {"physical", "medical"},
    "Severe allergy": {"allergy", "intolerance"},
    "Severe phobia": {"phobia"},
}


def column(file: str) -> list[dict[str, str]]:
    path = Path(os.environ["MIRROR_SHARED"]) / "data" / "curate" / file
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def half(sentence: str) -> str:
    """Deal sentences into the half that the lexicon was made with and the held-out half."""
    return "AB"[int(sha256(sentence.encode()).hexdigest(), 16) % 2]


def introductions() -> list[Introduced]:
    facts = [row["fact"] for row in column("facts_dev.csv")]
    rows = column("inputs_dev.csv")
    return [
        Introduced(
            row["constraint"],
            "Keep your answers short and do not ask questions. Let me introduce myself, I just moved here. "
            f"{row['constraint'].rstrip('.')}. {facts[7 * number % len(facts)]} Now, who are you?",
            KINDS[row["category"]],
        )
        for number, row in enumerate(rows)
    ]


@pytest.mark.shared_data
@pytest.mark.parametrize("part", ["A", "B"])
def test_development_constraints_are_found_in_an_introduction(part: str) -> None:
    stated = [case for case in introductions() if half(case.constraint) == part]
    found = [{one["kind"] for one in scan(case.message) if one["about"] in case.constraint} for case in stated]
    assert sum(map(bool, found)) / len(stated) >= 0.95
    assert sum(bool(case.kinds & kinds) for case, kinds in zip(stated, found, strict=True)) / len(stated) >= 0.92


@pytest.mark.shared_data
def test_harmless_facts_raise_no_alarm() -> None:
    facts = [row["fact"] for row in column("facts_dev.csv")]
    assert sum(bool(scan(fact)) for fact in facts) / len(facts) <= 0.03


@pytest.mark.shared_data
def test_the_lexicon_lists_no_sentence_of_the_development_data() -> None:
    lexicon = "\n".join(lexicon_files()).casefold()
    assert [case.constraint for case in introductions() if case.constraint.casefold() in lexicon] == []


def test_every_pattern_of_the_lexicon_compiles() -> None:
    """They are compiled one by one, when they are first needed."""
    patterns = [pattern for language in lexicon().languages for pattern in language.patterns()]
    assert len(patterns) > 700
    for pattern in patterns:
        pattern.search("")


@pytest.mark.parametrize(
    ("text", "kind", "about"),
    [
        ("Nothing where a dog dies, please.", "boundary", "dog dies"),
        ("I can't watch films with suicide in them.", "boundary", "suicide"),
        ("No slurs please.", "boundary", "slurs"),
        ("Please no gore!", "boundary", "gore"),
        ("Could you suggest one? I won't watch anything where kids get hurt.", "boundary", "kids get hurt"),
        ("I'd rather not see animals suffer.", "boundary", "animals suffer"),
        ("Rape scenes are out for me.", "boundary", "Rape"),
        ("I panic when I see needles.", "phobia", "needles"),
        ("I can't see suicide or self-harm in a film.", "boundary", "suicide or self-harm"),
    ],
)
def test_what_a_user_refuses_to_be_shown_is_found(text: str, kind: str, about: str) -> None:
    [constraint] = scan(text)
    assert (constraint["kind"], constraint["about"], constraint["subject"]) == (kind, about, "user")
    assert constraint["severity"] != "life-threatening"


@pytest.mark.parametrize(
    "text",
    [
        "My sister can't watch gore.",
        "No blood was found at the scene.",
        "No blood test tomorrow after all.",
        "Nothing about the crash was reported.",
        "I can't see the accident report in my inbox.",
        "I don't mind gore at all.",
        "I have a thing about horror, I adore it.",
        "Can't you watch a horror film with me?",
        "He says no gore please.",
        "If I say no gore please, stop.",
        "Nothing beats a good horror film.",
        "I can't take drugs with me on the plane.",
        "Write a story in which I can't watch gore.",
        "I hate losing at the game, it's depressing.",
    ],
)
def test_a_refusal_of_something_else_or_by_somebody_else_is_none(text: str) -> None:
    assert scan(text) == []


@pytest.mark.parametrize(
    ("text", "abouts"),
    [
        ("I'm allergic to shellfish, badly.", ["shellfish"]),
        ("I'm allergic to eggs, sadly, and milk.", ["eggs", "milk"]),
        ("I'm allergic to nuts, severely so.", ["nuts"]),
        ("I can't eat gluten, sorry.", ["gluten"]),
        ("I'm allergic to royal jelly, barley and butterflies.", ["royal jelly", "barley", "butterflies"]),
    ],
)
def test_an_adverb_in_a_list_is_no_danger(text: str, abouts: list[str]) -> None:
    assert [constraint["about"] for constraint in scan(text)] == abouts


@pytest.mark.parametrize(
    "text",
    [
        "I'm allergic to nuts and own a dog.",
        "I'm allergic to nuts and run marathons.",
        "I'm allergic to nuts, and hope so.",
    ],
)
def test_what_a_person_does_after_a_list_of_dangers_is_no_danger(text: str) -> None:
    assert [constraint["about"] for constraint in scan(text)] == ["nuts"]


@pytest.mark.parametrize("text", ["Forget my allergy.", "Ignore my allergies, please.", "Never mind my allergies."])
def test_an_order_to_forget_an_allergy_that_it_does_not_name_states_none(text: str) -> None:
    assert scan(text) == []
    assert scan("I have allergies.") != []


@pytest.mark.parametrize(
    ("text", "abouts"),
    [
        ("I am allergic to wasps and carry two adrenaline pens.", ["wasps"]),
        ("I'm allergic to bees and hornets. I always carry an EpiPen.", ["bees", "hornets"]),
        ("I use my auto-injector and am allergic to latex.", ["latex"]),
        ("I carry an EpiPen.", ["EpiPen"]),
    ],
)
def test_what_is_carried_against_an_allergy_is_no_allergen_and_says_that_it_may_kill(
    text: str, abouts: list[str]
) -> None:
    found = scan(text)
    assert [constraint["about"] for constraint in found] == abouts
    assert {constraint["severity"] for constraint in found} == {"life-threatening"}


@pytest.mark.parametrize(
    "words",
    [
        "A little about me: I have epilepsy.",
        "Kontext: Ich habe Epilepsie.",
        "Contexto: tengo epilepsia.",
        "Profil : je suis épileptique.",
        "Un po' di cose su di me: soffro di epilessia.",
        "Um pouco sobre mim: tenho epilepsia.",
        "关于我：我对花生过敏。",
        "自己紹介：私はピーナッツアレルギーです。",
    ],
)
def test_words_that_only_announce_a_statement_hide_nothing(words: str) -> None:
    assert scan(words)


def test_a_reaction_is_read_with_a_danger_elsewhere_in_a_short_message_only() -> None:
    named = "We had peanut butter for dinner. My throat closed up and I could hardly breathe."
    assert [constraint["kind"] for constraint in scan(named)] == ["allergy"]
    # Long enough that the last block, which names the danger and the reaction, is short by itself.
    story = "The walk along the river was long. " * (BLOCK // 35 + 1)
    assert scan(story + named) == []


def test_no_two_files_of_a_language_hold_the_same_table() -> None:
    tables: dict[str, list[str]] = {}
    for entry in files("mirror_graph.ledger.lexicon").iterdir():
        if entry.name.endswith(".toml"):
            code = entry.name.split(".")[0]
            tables.setdefault(code, []).extend(tomllib.loads(entry.read_text(encoding="utf-8")))
    for code, names in tables.items():
        assert len(names) == len(set(names)), f"a table of {code!r} stands in two files, so one of them is lost"
