"""Words that carry no wish of their own: when nothing else is left of a sentence, all of it was understood."""

from __future__ import annotations

_WORDS = """
a able about above accept accuracy across actually after again aggregate aggregation aim al algorithm all allow
allowed almost along already also always am among an and another any anyone approach approximately are around as at
available away based be because become been before being below between both build but by can case challenge change
choose classification classifier classify client clients collaborative come common communication connected cool could
create data dataset deep default deliver describe design did distributed divided do does doing don't done down draft
during e.g each easy eg either else end enough ensure entire equipped et etc even ever every exactly example examples
experiment experiments federate federated federating federation few fine first fit fl follow following for from
further gather general get give given global go goal going good got great had hand happen has have having he held
hello help her here here's hey hi his hold hosted how i i'd i'll i'm i've i.e idea ie if image images in include
including instead into is it it's its itself job joined just keep kind know later learn learned learner learning
learns least let let's like likely little local locally long look lot lots low machine made main make makes making
many max may maybe me mean means meant method might mine mode model model's models more most much must my name neat
need needed needs network neural never new next nice no node nodes nor normal not nothing now number of off ok okay on
once one one's ones only onto option options or order other others otherwise our out over overall own parameter
parameters part participant participants participate participating particular people per perform performance pipeline
plain plan please possible prefer present probably problem process project proper properly purpose put quite rather
reach real really reason reasonable recognise recognition recognize recognizer regular require required requires
respective respectively result results right roughly round rounds run running runs same sampled say scenario see seem
select selected set sets setting settings setup share shared shares should show simple simply simulated since single
so some someone something soon sort spec split splits spread standard start started state still stop such suggest
suitable sure system take taken takes taking task tasks tell text texts than thank thanks that that's the their them
themselves then there there's these they they're thing things think this those through time times to today together
too total toward towards train trained trainer training trains try trying tune tuned tuning two two-fold type typical
under until up upon us use used user users uses using usual usually value various versus very via vs want wanted wants
was way we we'd we'll we're well were what whatever when where whether which while who who's whole whom whose why will
wish with within without work working works would write you you're your yours zero dont doesnt
"""
FILLERS = frozenset(_WORDS.split())
