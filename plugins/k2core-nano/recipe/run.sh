#!/bin/sh
# k2-nano from nothing: rows, supervised fine-tuning, reinforcement learning, draft model, what is shipped, evaluation.
#
#   sh plugins/k2core-nano/recipe/run.sh [STAGE …]      default: data sft practice grpo draft ship evaluate
#
# Each training goes on where it was when it is run again. WORK is where everything goes (runs/nano), K2 the command.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
WORK=${WORK:-runs/nano}
K2=${K2:-k2}
ROWS=${ROWS:-12000}
PRACTICE=${PRACTICE:-36000}
PACKAGE="$HERE/../k2core_nano"
PIPELINE="$PACKAGE/k2-nano.toml"

resumed() { if [ -d "$1" ]; then echo --resume; fi; }

# all families, each at the levels that are named: "addition@1,addition@2,…"
levels() {
    "$K2" nano families | while read -r family _; do for level; do printf '%s@%s,' "$family" "$level"; done; done | sed 's/,$//'
}

data() {
    "$K2" nano data --out "$WORK/sft.jsonl" --count "$ROWS" --seed 1
    "$K2" nano data --out "$WORK/practice.jsonl" --count "$PRACTICE" --seed 2 --families "$(levels 1 2)" \
        --planned 0.06 --planning 0.02
    "$K2" nano data --out "$WORK/prompts.jsonl" --count 3000 --seed 3
}

sft() {
    "$K2" train sft --config "$HERE/sft.toml" --out "$WORK/sft" $(resumed "$WORK/sft") \
        --set "trainer.data.files=[\"$WORK/sft.jsonl\"]"
}

# the same on the levels that are tested, for longer, and with fewer plans, whose prompts are long
practice() {
    "$K2" train sft --config "$HERE/sft.toml" --out "$WORK/practice" $(resumed "$WORK/practice") --set trainer.steps=2200 \
        --set "trainer.data.files=[\"$WORK/practice.jsonl\"]" --set "trainer.model.adapter=$WORK/sft/adapter"
}

grpo() {
    "$K2" train grpo --config "$HERE/grpo.toml" --out "$WORK/grpo" $(resumed "$WORK/grpo") \
        --set "trainer.model.adapter=$WORK/practice/adapter"
}

# the ablation of K2 Think's report: reinforcement learning without the first stage
grpo_from_base() {
    "$K2" train grpo --config "$HERE/grpo.toml" --out "$WORK/grpo-from-base" $(resumed "$WORK/grpo-from-base") \
        --set 'trainer.model.lora={rank=16}'
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

# n = 510 a cell, 30 a family, from the test split; four arms for each model
evaluate() {
    for name in base practice grpo; do
        if [ "$name" = base ]; then lora='[]'; else lora="[{path=\"$WORK/$name/adapter\"}]"; fi
        "$K2" eval run nano:all --limit 510 --seed 9 --ablation --config "$PIPELINE" --out "$WORK/eval/$name" --label "$name" \
            --set "decoders.solver.lora=$lora"
    done
    # the base model with the prompt that suits it best, the default pipeline's
    "$K2" eval run nano:all --limit 510 --seed 9 --ablation --out "$WORK/eval/base-default" --label base-default
    "$K2" eval compare "$WORK/eval/base/bare" "$WORK/eval/base-default/bare" "$WORK/eval/practice/bare" "$WORK/eval/grpo/bare" \
        "$WORK/eval/grpo/plan" "$WORK/eval/grpo/best-of-n" "$WORK/eval/grpo/both"
}

mkdir -p "$WORK"
for stage in ${*:-data sft practice grpo draft ship evaluate}; do
    "$stage"
done
