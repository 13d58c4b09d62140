/** Project, image prefix and label of one run of a suite: of this process alone. */
export function runName(suite: string): string {
  return `blockferry-test-${suite}-${process.pid}`
}
