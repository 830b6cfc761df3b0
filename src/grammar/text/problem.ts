/** A grammar or structural tag that cannot be understood or honoured; the message says where and why. */
export class GrammarProblem extends Error {
  override readonly name = "GrammarProblem";
}
