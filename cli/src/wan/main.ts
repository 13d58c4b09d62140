import { parseConfig, runService } from '@blockferry/runtime/service'
import { startWan } from './app.ts'
import { options, rules } from './config.ts'

await runService({
  service: 'wan',
  start: async ({ argv, env, logger }) => {
    const config = parseConfig({ service: 'wan', options, rules, argv, env })
    logger.level = config.logLevel
    return startWan(config, logger)
  },
})
