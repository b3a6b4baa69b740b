-- Sizes of the pneumothoraces of each cohort, curated positives only, beside the paper's Figure 5.
-- column cohort: Cohort.
-- column category: small (below 1 % of the frame), medium (1 to 3 %), large (above 3 %), or all.
-- column n: Radiographs with it.
-- column share_percent: Share of the cohort's positive radiographs, in percent.
-- column mean_percent: Mean area, in percent of the frame.
-- column sd_percent: Standard deviation of the area (n - 1), in percent of the frame.
-- column median_percent: Median area, in percent of the frame.
-- column min_percent: Smallest area, in percent of the frame.
-- column max_percent: Largest area, in percent of the frame.
-- column paper_mean_percent: The paper's mean for the cohort of that name; it prints no shares by class.
-- column paper_sd_percent: The paper's standard deviation for the cohort of that name.
WITH positives AS (
    SELECT masks.cohort, masks.size_class, masks.area_percent
    FROM masks
    JOIN curated USING (radiograph_id)
    WHERE masks.has_pneumothorax
),

categories AS (
    SELECT totals.cohort, totals.n AS total, listed.category, listed.position
    FROM (SELECT cohort, count(*) AS n FROM positives GROUP BY cohort) AS totals
    CROSS JOIN (VALUES ('small', 1), ('medium', 2), ('large', 3), ('all', 4)) AS listed (category, position)
),

printed AS (
    SELECT
        cohort,
        item AS category,
        max(value) FILTER (metric = 'mean') AS mean,
        max(value) FILTER (metric = 'sd') AS sd
    FROM paper_values
    WHERE figure = 'figure5'
    GROUP BY cohort, item
)

SELECT
    categories.cohort,
    categories.category,
    count(positives.cohort) AS n,
    100.0 * count(positives.cohort) / any_value(categories.total) AS share_percent,
    avg(positives.area_percent) AS mean_percent,
    stddev_samp(positives.area_percent) AS sd_percent,
    median(positives.area_percent) AS median_percent,
    min(positives.area_percent) AS min_percent,
    max(positives.area_percent) AS max_percent,
    any_value(printed.mean) AS paper_mean_percent,
    any_value(printed.sd) AS paper_sd_percent
FROM categories
LEFT JOIN positives
    ON positives.cohort = categories.cohort
    AND categories.category IN (positives.size_class, 'all')
LEFT JOIN printed ON printed.cohort = categories.cohort AND printed.category = categories.category
GROUP BY categories.cohort, categories.category, categories.position
ORDER BY categories.cohort, categories.position
