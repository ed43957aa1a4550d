    SELECT account_id, count(*) AS taken,
           (array_agg(score ORDER BY taken_on, assessment_id))[1] AS first_score,
           min(taken_on) AS first_on,
           (array_agg(score ORDER BY taken_on DESC, assessment_id DESC))[1] AS last_score,
           max(taken_on) AS last_on
    FROM PRODUCT.assessments WHERE school_year = %(school_year)s GROUP BY account_id
