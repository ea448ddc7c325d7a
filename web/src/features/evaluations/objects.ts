/** The API's objects by the names that the page gives them. */
import type { Schema } from "@/lib/api";

export type Evaluation = Schema<"EvaluationObject">;
export type Side = Schema<"EvaluationSide">;
export type Score = Schema<"Score">;
/** A number with its 95% interval. */
export type Estimate = Schema<"Measured">;
export type Preference = Schema<"EvaluationPreference">;
export type Rewards = Schema<"EvaluationRewards">;
export type Counts = Schema<"EvaluationCounts">;
export type Item = Schema<"EvaluationItemObject">;
export type Answer = Schema<"EvaluationAnswer">;
export type Judgment = Schema<"EvaluationJudgment">;
export type Judge = Schema<"JudgeObject">;
export type Suite = Schema<"SuiteObject">;
export type Agreement = Schema<"AgreementObject">;
