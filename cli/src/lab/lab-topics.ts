import type { Clock } from '@blockferry/runtime'
import { type ReplicationLog, siteTopicSpecs } from '@blockferry/replication-log'
import type { ChildSpec } from '@blockferry/supervision'

const askEveryMs = 100

/** A broker serves once it answers about metadata: there is no log line to wait for. */
export function awaitMetadata(log: ReplicationLog, clock: Clock): ChildSpec['awaitReady'] {
  return async (_child, signal) => {
    while (!signal.aborted) {
      try {
        await log.describeTopic('updates')
        return
      } catch {
        // Not yet: the supervisor's deadline bounds this.
        await clock.sleep(askEveryMs, signal)
      }
    }
  }
}

/** K3: every topic, the mirrored ones too, exists with our configuration before MirrorMaker starts. */
export async function createTopics(logs: {
  readonly siteA: ReplicationLog
  readonly siteB: ReplicationLog
}): Promise<void> {
  await Promise.all([
    logs.siteA.ensureTopics(siteTopicSpecs({ site: 'site-a', peerSite: 'site-b' })),
    logs.siteB.ensureTopics(siteTopicSpecs({ site: 'site-b', peerSite: 'site-a' })),
  ])
}
