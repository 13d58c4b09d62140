import type { TopicDescription, TopicSpec } from './replication-log.ts'

/** One way in which a topic is not as configured. */
export interface TopicDifference {
  readonly topic: string
  readonly setting: string
  readonly expected: string
  readonly found: string
}

/** Every difference in partitions and in the settings the spec names (K3); settings it leaves out are free. */
export function topicDifferences(spec: TopicSpec, found: TopicDescription): readonly TopicDifference[] {
  const differences: TopicDifference[] = []
  const compare = (setting: string, expected: string, actual: string): void => {
    if (expected !== actual) differences.push({ topic: spec.topic, setting, expected, found: actual })
  }
  compare('partitions', String(spec.partitions), String(found.partitions))
  for (const [setting, expected] of Object.entries(spec.config)) {
    compare(setting, expected, found.config[setting] ?? 'unset')
  }
  return differences
}

/** One line for a human: every difference, none summarised away. */
export function describeDifferences(differences: readonly TopicDifference[]): string {
  return differences
    .map(({ topic, setting, expected, found }) => `${topic}: ${setting} is ${found}, expected ${expected}`)
    .join('; ')
}
