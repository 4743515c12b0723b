#!/bin/sh
# k2-nano from nothing: rows, supervised fine-tuning, reinforcement learning, draft model, what is shipped, evaluation.
#
#   sh plugins/k2core-nano/recipe/run.sh [STAGE …]      default: data sft grpo draft ship; also: grpo_from_base
#                                                       grpo_short evaluate
#
# Each training goes on where it was when it is run again. WORK is where everything goes (runs/nano), K2 the command.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
WORK=${WORK:-runs/nano}
K2=${K2:-k2}
ROWS=${ROWS:-30000}
STEPS=${STEPS:-150}
CELL=${CELL:-408}
PACKAGE="$HERE/../k2core_nano"

resumed() { if [ -d "$1" ]; then echo --resume; fi; }

# all families, each at the levels that are named: "addition@1,addition@2,…"
levels() {
    "$K2" nano families | while read -r family _; do for level; do printf '%s@%s,' "$family" "$level"; done; done | sed 's/,$//'
}

data() {
    "$K2" nano data --out "$WORK/sft.jsonl" --count "$ROWS" --seed 1 --families "$(levels 1 2)" --planned 0.06 --planning 0.03
    "$K2" nano data --out "$WORK/prompts.jsonl" --count 3000 --seed 3
}

sft() {
    "$K2" train sft --config "$HERE/sft.toml" --out "$WORK/sft" $(resumed "$WORK/sft") --set "trainer.data.files=[\"$WORK/sft.jsonl\"]"
}

grpo() {
    "$K2" train grpo --config "$HERE/grpo.toml" --out "$WORK/grpo" $(resumed "$WORK/grpo") --set trainer.steps=$STEPS \
        --set "trainer.model.adapter=$WORK/sft/adapter"
}

# the ablation of K2 Think's report: reinforcement learning without the first stage
grpo_from_base() {
    "$K2" train grpo --config "$HERE/grpo.toml" --out "$WORK/grpo-from-base" $(resumed "$WORK/grpo-from-base") --set trainer.steps=$STEPS \
        --set 'trainer.model.lora={rank=16}'
}

# and the other one: half of the steps with a context that is too short, then the other half as ever
grpo_short() {
    "$K2" train grpo --config "$HERE/grpo.toml" --out "$WORK/grpo-shortened" $(resumed "$WORK/grpo-shortened") \
        --set trainer.steps=$((STEPS / 2)) --set trainer.max_tokens=64 --set "trainer.model.adapter=$WORK/sft/adapter"
    "$K2" train grpo --config "$HERE/grpo.toml" --out "$WORK/grpo-short" $(resumed "$WORK/grpo-short") \
        --set trainer.steps=$((STEPS - STEPS / 2)) --set "trainer.model.adapter=$WORK/grpo-shortened/adapter" --set trainer.seed=4
}

draft() {
    "$K2" train draft --config "$HERE/draft.toml" --out "$WORK/draft" $(resumed "$WORK/draft") \
        --set "trainer.rollouts.files=[\"$WORK/prompts.jsonl\"]" --set "trainer.model.adapter=$WORK/grpo/adapter" \
        --set "decoders.solver.lora=[{path=\"$WORK/grpo/adapter\"}]"
}

# into the distribution: the adapter in 16 bits, the draft model for both decoders
ship() {
    "$K2" models export "$WORK/grpo/adapter" --out "$PACKAGE/adapter"
    rm -rf "$PACKAGE/draft" && cp -r "$WORK/draft/model" "$PACKAGE/draft"
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

# repeats: so many that at equal tokens the cheaper arm can vote as often as the dearer one's tokens allow
evaluate() {
    # the decoder that does many problems at once
    quick="--set decoders.solver.use=transformers --set decoders.solver.context=1024 --set decoders.solver.parallel=64"
    measured base 1 --config "$HERE/bare.toml"
    # the base model with the prompt that suits it best, worked examples in it
    measured base-shown 1 --arm bare --config "$HERE/../../../examples/smollm2.toml" --set sampler.max_tokens=256 $quick
    adapted sft 3
    adapted grpo 6
    for stage in grpo-from-base grpo-short; do adapted "$stage" 2; done
    # harder than anything that was shown
    for stage in sft grpo; do (TASKS=nano:all@3 && adapted "$stage" 1 "$stage-harder"); done
    measured nano 1 --ablation $quick --set decoders.solver.model=smollm2-135m-instruct \
        --set "decoders.solver.lora=[{path=\"$WORK/grpo/adapter\"}]"
    for other in sft grpo-from-base grpo-short; do
        if [ -d "$WORK/eval/$other" ]; then "$K2" eval compare "$WORK/eval/$other" "$WORK/eval/grpo"; fi
    done
    "$K2" eval compare "$WORK/eval/sft-harder" "$WORK/eval/grpo-harder"
    for arm in plan best-of-n both; do "$K2" eval compare "$WORK/eval/grpo" "$WORK/eval/nano/$arm"; done
}

mkdir -p "$WORK"
for stage in ${*:-data sft grpo draft ship}; do
    "$stage"
done
