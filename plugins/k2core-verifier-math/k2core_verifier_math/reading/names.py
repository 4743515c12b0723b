"""What names mean: functions, constants, symbols, relations, separators, and commands that only concern the layout."""

from __future__ import annotations

UNION, WITHOUT = "\u222a", "\u2216"
"""Signs of set operations that look like the letter U and a backslash."""

FUNCTIONS = {
    name: name
    for name in (
        "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sech csch arcsinh arccosh arctanh "
        "ln log lg exp gcd lcm max min floor ceil abs sgn det"
    ).split()
}
"""Functions, and the name under which the checkers know them."""
FUNCTIONS |= {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "arcsinh": "arsinh", "arccosh": "arcosh", "arctanh": "artanh"}
FUNCTIONS |= {"arsinh": "arsinh", "arcosh": "arcosh", "artanh": "artanh", "asinh": "arsinh", "acosh": "arcosh", "atanh": "artanh"}
FUNCTIONS |= {"sign": "sgn", "tg": "tan", "ctg": "cot", "cosec": "csc", "arctg": "arctan"}
INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot", "sec": "arcsec", "csc": "arccsc"}
INVERSE |= {"sinh": "arsinh", "cosh": "arcosh", "tanh": "artanh"}

GREEK = {
    name: name
    for name in (
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
        "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar nabla partial aleph"
    ).split()
}
GREEK |= {"varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "varrho": "rho", "varsigma": "sigma", "imath": "i"}
GREEK_LETTERS = dict(zip("αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", GREEK, strict=False))

CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "emptyset": "empty", "varnothing": "empty", "infin": "inf"}
SETS = {"R": "R", "Z": "Z", "N": "N", "Q": "Q", "C": "C", "reals": "R", "Reals": "R", "integers": "Z"}

OPERATORS = {
    "cdot": "*",
    "times": "*",
    "ast": "*",
    "bullet": "*",
    "div": "/",
    "pm": "±",
    "mp": "∓",
    "le": "≤",
    "leq": "≤",
    "leqslant": "≤",
    "leqq": "≤",
    "ge": "≥",
    "geq": "≥",
    "geqslant": "≥",
    "geqq": "≥",
    "lt": "<",
    "gt": ">",
    "ne": "≠",
    "neq": "≠",
    "approx": "≈",
    "sim": "≈",
    "simeq": "≈",
    "cong": "≈",
    "in": "∈",
    "equiv": "≡",
    "cup": "\u222a",
    "cap": "∩",
    "setminus": "\u2216",
    "backslash": "\u2216",
    "mid": "|",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "Vert": "|",
    "lVert": "|",
    "rVert": "|",
    "lfloor": "⌊",
    "rfloor": "⌋",
    "lceil": "⌈",
    "rceil": "⌉",
    "langle": "⟨",
    "rangle": "⟩",
    "ldots": "…",
    "dots": "…",
    "cdots": "…",
    "dotsc": "…",
    "dotsb": "…",
    "vdots": "…",
    "ddots": "…",
    "colon": ":",
    "circ": "°",
    "degree": "°",
    "prime": "'",
    "lbrace": "\\{",
    "rbrace": "\\}",
    "lparen": "(",
    "rparen": ")",
    "lbrack": "[",
    "rbrack": "]",
    "land": "and",
    "wedge": "and",
    "lor": "or",
    "vee": "or",
    "quad": "quad",
    "qquad": "quad",
    "percent": "%",
    "sqrt": "sqrt",
    "surd": "sqrt",
    "to": "→",
    "rightarrow": "→",
    "Rightarrow": "→",
    "implies": "→",
    "iff": "→",
    "mapsto": "→",
    "mod": "mod",
    "bmod": "mod",
    "pmod": "pmod",
    "perp": "⊥",
    "parallel": "∥",
    "subset": "⊂",
    "subseteq": "⊆",
}
"""LaTeX commands that stand for one sign."""

SIGNS = {
    "·": "*",
    "⋅": "*",
    "∙": "*",
    "\u00d7": "*",
    "\u2217": "*",
    "÷": "/",
    "\u2215": "/",
    "\u2044": "/",
    "\u2212": "-",
    "\u2013": "-",
    "—": "-",
    "﹣": "-",
    "≦": "≤",
    "⩽": "≤",
    "≧": "≥",
    "⩾": "≥",
    "\u223c": "≈",
    "≃": "≈",
    "≅": "≈",
    "\u2223": "|",
    "⋯": "…",
    "º": "°",
    "˚": "°",
    "∘": "°",
    "\u2032": "'",
    "\u2019": "'",
    "\u2236": ":",
    "√": "sqrt",
    "∧": "and",
    "\u2228": "or",
    "⇒": "→",
    "\uff1d": "=",
}
"""Unicode signs and the one they are read as; those that stand for themselves are listed in `PLAIN`."""

PLAIN = frozenset("+-*/^_!%',;:|()[]{}=<>≤≥≠≈∈≡\u222a∩\u2216±∓°…⌊⌋⌈⌉⟨⟩&→")
RELATIONS = frozenset("=<>≤≥≠≈∈≡→⊥∥⊂⊆")

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n")
FRACTIONS = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5"}
FRACTIONS |= {"⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}

LAYOUT = frozenset(
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle scriptstyle limits nolimits "
    "middle boldsymbol bm rm bf it sf tt mathrm mathit mathbf mathsf mathcal mathfrak mathscr cal operatorname mathop boxed fbox "
    "phantom hspace vspace mkern hfill nonumber notag color textcolor tiny small large".split()
)
"""Commands that change how something looks; what they apply to is read as if they were not there."""

UPRIGHT = frozenset(
    "text textbf textrm textit textnormal textsf texttt mbox hbox mathrm operatorname rm textup emph mathsf".split()
)
"""Commands whose argument is words."""

ACCENTS = frozenset(
    "overline bar hat widehat vec overrightarrow tilde dot ddot underline widetilde overset overleftrightarrow".split()
)
STRUCTURES = frozenset(
    "frac dfrac tfrac cfrac binom dbinom tbinom choose sum prod int lim begin end angle triangle not over".split()
)
KNOWN = frozenset(
    {*FUNCTIONS, *GREEK, *CONSTANTS, *OPERATORS, *LAYOUT, *UPRIGHT, *ACCENTS, *STRUCTURES, "mathbb", "iint", "oint", "iiint"}
)

NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
        "nineteen twenty".split()
    )
}
