    SELECT account_id, sum(minutes) AS minutes, sum(problems) AS problems, count(*) AS weeks,
           min(week_of) AS first_week, max(week_of) AS last_week
    FROM PRODUCT.usage WHERE school_year = %(school_year)s GROUP BY account_id
