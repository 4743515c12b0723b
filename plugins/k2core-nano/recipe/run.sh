#!/bin/sh
# k2-nano from nothing: rows, supervised fine-tuning, reinforcement learning, draft model, what is shipped, evaluation.
#
#   sh plugins/k2core-nano/recipe/run.sh [STAGE …]      default: data sft grpo blend draft ship; also: grpo_from_base
#                                                       grpo_short evaluate, or shipped alone
#
# Each training goes on where it was when it is run again. WORK is where everything goes (runs/nano), K2 the command, PYTHON its own.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
WORK=${WORK:-runs/nano}
K2=${K2:-k2}
PYTHON=${PYTHON:-$(dirname "$(command -v "$K2")")/python}
ROWS=${ROWS:-30000}
STEPS=${STEPS:-100}
CELL=${CELL:-408}
REWARDED=nano:division@4,subtraction@4,fractions@4,letters@4,stories@4      # those of grpo.toml
PACKAGE="$HERE/../k2core_nano"
# the decoder that does many problems at once
QUICK="--set decoders.solver.use=transformers --set decoders.solver.context=1024 --set decoders.solver.parallel=64"

resumed() { if [ -d "$1" ]; then echo --resume; fi; }

# all families, each at the levels that are named: "addition@1,addition@2,…"
levels() {
    "$K2" nano families | while read -r family _; do for level; do printf '%s@%s,' "$family" "$level"; done; done | sed 's/,$//'
}

data() {
    "$K2" nano data --out "$WORK/sft.jsonl" --count "$ROWS" --seed 1 --families "$(levels 1 2)" --planned 0.06 --planning 0.03
    "$K2" nano data --out "$WORK/prompts.jsonl" --count 6400 --seed 3
}

sft() {
    "$K2" train sft --config "$HERE/sft.toml" --out "$WORK/sft" $(resumed "$WORK/sft") --set "trainer.data.files=[\"$WORK/sft.jsonl\"]"
}

rewarded() { # NAME STEPS [OPTION …]
    name=$1 steps=$2
    shift 2
    "$K2" train grpo --config "$HERE/grpo.toml" --out "$WORK/$name" $(resumed "$WORK/$name") --set trainer.steps="$steps" "$@"
}

# from an adapter, with rows of the first stage beside the rewards
continued() { # NAME STEPS STAGE [OPTION …]
    name=$1 steps=$2 from=$3
    shift 3
    rewarded "$name" "$steps" --set "trainer.model.adapter=$WORK/$from/adapter" --set "trainer.replay.files=[\"$WORK/sft.jsonl\"]" "$@"
}

grpo() { continued grpo "$STEPS" sft; }

# the ablation of K2 Think's report: reinforcement learning without the first stage, nor its rows
grpo_from_base() { rewarded grpo-from-base "$STEPS" --set 'trainer.model.lora={rank=16,alpha=32}'; }

# and the other one: half of the steps with a context that is too short, then the other half as ever
grpo_short() {
    continued grpo-shortened $((STEPS / 2)) sft --set trainer.max_tokens=64
    continued grpo-short $((STEPS - STEPS / 2)) grpo-shortened --set trainer.seed=4
}

# between the two stages: most of what rewards brought, and what they cost elsewhere comes back; the share was the first that was tried
blend() {
    mkdir -p "$WORK/blended"
    "$K2" models blend "$WORK/sft/adapter" "$WORK/grpo/adapter" --share 0.6 --out "$WORK/blended/adapter"
}

draft() {
    "$K2" train draft --config "$HERE/draft.toml" --out "$WORK/draft" $(resumed "$WORK/draft") \
        --set "trainer.rollouts.files=[\"$WORK/prompts.jsonl\"]" --set "trainer.model.adapter=$WORK/blended/adapter" \
        --set "decoders.solver.lora=[{path=\"$WORK/blended/adapter\"}]"
}

# into the distribution: the adapter in 16 bits, the draft model for both decoders
ship() {
    "$K2" models export "$WORK/blended/adapter" --base smollm2-135m-instruct --out "$PACKAGE/adapter"
    rm -rf "$PACKAGE/draft.new"
    cp -r "$WORK/draft/model" "$PACKAGE/draft.new"
    chmod -R a+rX "$PACKAGE/draft.new"
    rm -rf "$PACKAGE/draft"
    mv "$PACKAGE/draft.new" "$PACKAGE/draft"
    "$K2" models export "$WORK/draft/model" --out "$PACKAGE/draft/model.gguf" --type q8_0
}

# CELL problems a cell, as many of each family, from the test split, which no training saw: of the levels with worked solutions, and
# of the one in other words
measured() { # NAME REPEATS [OPTION …]
    name=$1 repeats=$2
    shift 2
    "$K2" eval run ${TASKS:-nano:all nano:all@4} --limit "$CELL" --seed 9 --concurrency 64 --repeats "$repeats" \
        --out "$WORK/eval/$name" --label "$name" "$@"
}

adapted() { # STAGE REPEATS [NAME]
    if [ -d "$WORK/$1/adapter" ]; then
        measured "${3:-$1}" "$2" --config "$HERE/bare.toml" --set "decoders.solver.lora=[{path=\"$WORK/$1/adapter\"}]"
    fi
}

compared() { # ONE OTHER
    if [ -d "$WORK/eval/$1" ] && [ -d "$WORK/eval/$2" ]; then "$K2" eval compare "$WORK/eval/$1" "$WORK/eval/$2"; fi
}

# repeats: so many that at equal tokens the cheaper arm can vote as often as the dearer one's tokens allow
evaluate() {
    measured base 1 --config "$HERE/bare.toml"
    (TASKS=$REWARDED CELL=400 && measured base-rewarded 2 --config "$HERE/bare.toml")
    # the base model with the prompt that suits it best, worked examples in it
    measured base-shown 1 --arm bare --config "$HERE/../../../examples/smollm2.toml" --set sampler.max_tokens=256 $QUICK
    adapted sft 3
    adapted blended 6
    for stage in grpo grpo-from-base grpo-short; do adapted "$stage" 2; done
    for stage in sft grpo blended grpo-from-base grpo-short; do
        # what rewards were given for, and what is harder than anything that was shown
        (TASKS=$REWARDED CELL=400 && adapted "$stage" "$(if [ "$stage" = blended ]; then echo 1; else echo 2; fi)" "$stage-rewarded")
        (TASKS=nano:all@3 && adapted "$stage" 1 "$stage-harder")
    done
    for other in "sft grpo" "sft blended" "grpo blended" "base grpo-from-base" "grpo-from-base grpo" "grpo-short grpo" "sft grpo-short"; do
        for part in "" -rewarded -harder; do compared "${other% *}$part" "${other#* }$part"; done
    done
    for stage in base base-rewarded grpo-from-base grpo-from-base-rewarded; do
        if [ -d "$WORK/eval/$stage" ]; then "$PYTHON" "$HERE/../benchmarks/answers.py" "$WORK/eval/$stage"; fi
    done
    if [ -d "$WORK/grpo-from-base" ]; then "$PYTHON" "$HERE/../benchmarks/quarters.py" "$WORK/grpo-from-base"; fi
    shipped
}

# the adapter in the distribution, and what the embedded pipeline's planner and votes bring to it: needs no training
shipped() {
    measured shipped 6 --config "$HERE/bare.toml" --set decoders.solver.model=k2-nano
    measured nano 1 --ablation $QUICK --set decoders.solver.model=k2-nano
    for arm in plan best-of-n both; do compared shipped "nano/$arm"; done
    "$PYTHON" "$HERE/../benchmarks/twins.py" "$WORK/eval/shipped" --seed 9
    "$PYTHON" "$HERE/../benchmarks/plans.py" "$WORK/eval/nano/plan" --against "$WORK/eval/nano/bare"
}

mkdir -p "$WORK"
for stage in ${*:-data sft grpo blend draft ship}; do
    "$stage"
done
