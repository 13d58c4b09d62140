import type { SpoolWriter } from './spool-writer.ts'
import type { ChangeEvents } from './guest-write.ts'

/**
 * Numbers and appends events that change nothing locally: read-backs, sync data, marks. True once they are
 * in the spool; false when they are not and never will be (the disk goes AHEAD, where everything is owed).
 */
export function appendEvents(
  writer: SpoolWriter,
  content: ChangeEvents,
  syncCursorBytes?: number,
): Promise<boolean> {
  if (writer.stopped) return Promise.resolve(false)
  if (content.events.length === 0) return Promise.resolve(true)
  return new Promise((resolve) => {
    writer.enqueue({
      ...content,
      syncCursorBytes,
      writesLocally: false,
      appended: () => resolve(true),
      lost: () => resolve(false),
    })
  })
}
